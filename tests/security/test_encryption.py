"""TLS is verified unless the user hands over something that does not; plain http is for private networks."""

from __future__ import annotations

import asyncio
import datetime
import ssl
import sys
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme

from tests.cli.running import finish, process_of
from zhipu_async import AsyncZhipuAI, ConfigError, ConnectError, PlainTextWarning
from zhipu_async.config import PLATFORMS
from zhipu_async.simulator import Simulator

ASK: dict[str, Any] = {"model": "glm-4.6", "messages": [{"role": "user", "content": "Hello"}]}
YESTERDAY = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
KNOWN, UNKNOWN = trustme.CA(), trustme.CA()
CERTIFICATES = {
    "of an unknown authority": UNKNOWN.issue_cert("127.0.0.1"),
    "of another host": KNOWN.issue_cert("glm.example"),
    "expired": KNOWN.issue_cert("127.0.0.1", not_after=YESTERDAY),
}


def trusting() -> ssl.SSLContext:
    """A context that knows one authority."""
    context = ssl.create_default_context()
    KNOWN.configure_trust(context)
    return context


@asynccontextmanager
async def serving(certificate: trustme.LeafCert) -> AsyncIterator[Simulator]:
    """A simulator with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    async with Simulator(ssl=context) as sim:
        yield sim


@pytest.mark.parametrize("certificate", CERTIFICATES)
@pytest.mark.parametrize("way", ["pool", "connector", "session"])
async def test_no_certificate_passes_that_is_not_this_hosts(certificate: str, way: str) -> None:
    """ConnectError, not repeated, for calls, WebSockets and downloads; no request is sent."""
    async with serving(CERTIFICATES[certificate]) as sim:
        settings: dict[str, Any] = {"base_url": sim.base_url, "max_retries": 2}
        connector = aiohttp.TCPConnector(ssl=trusting())
        async with aiohttp.ClientSession(connector=connector) as session:
            settings |= {
                "pool": {"ssl": trusting()},
                "connector": {"connector": connector},
                "session": {"session": session},
            }[way]
            async with AsyncZhipuAI(sim.api_key, **settings) as client:
                for ask in (
                    client.chat.completions.create(**ASK),
                    client.realtime.connect("glm-realtime").__aenter__(),
                    client.download(f"{sim.origin}/x"),
                ):
                    with pytest.raises(ConnectError, match=r"(?i)certificate") as caught:
                        await ask
                    assert len(caught.value.attempts) <= 1
                    assert not caught.value.retryable
        assert sim.requests == []


VARIABLES = {
    "PYTHONHTTPSVERIFY": "0", "SSL_NO_VERIFY": "1", "NODE_TLS_REJECT_UNAUTHORIZED": "0", "GIT_SSL_NO_VERIFY": "1",
    "CURL_CA_BUNDLE": "", "REQUESTS_CA_BUNDLE": "", "AIOHTTP_NO_SSL": "1", "ZHIPU_SSL": "0", "ZHIPU_SSL_VERIFY": "0",
}  # fmt: skip
"""What switches verification off somewhere else."""

PROGRAM = """
import asyncio, sys
from zhipu_async import AsyncZhipuAI, ConnectError
async def main():
    async with AsyncZhipuAI(sys.argv[2], base_url=sys.argv[1], max_retries=0) as client:
        try:
            await client.models.list()
            print("answered")
        except ConnectError as error:
            print("refused", "certificate" in str(error).lower())
asyncio.run(main())
"""


@pytest.mark.heavy
async def test_no_variable_switches_verification_off(tmp_path: Path) -> None:
    """Those that do so elsewhere have no effect; SSL_CERT_FILE adds an authority, as it does for all of Python."""
    file = tmp_path / "authority.pem"
    KNOWN.cert_pem.write_to_path(str(file))
    async with serving(KNOWN.issue_cert("127.0.0.1")) as sim:
        for variables, said in ((VARIABLES, "refused True"), ({**VARIABLES, "SSL_CERT_FILE": str(file)}, "answered")):
            async with process_of(sys.executable, "-c", PROGRAM, sim.base_url, sim.api_key, env=variables) as process:
                done = await finish(process)
            assert (done.output.strip(), done.errors) == (said, "")


@pytest.mark.parametrize("value", [False, True, "", 0, 1, "no", "certificate.pem", ssl.CERT_NONE])
def test_no_flag_switches_verification_off(value: Any) -> None:
    """ssl= takes a context and nothing else; so do the clients of other settings, which take none."""
    with pytest.raises(ConfigError, match="SSLContext"):
        AsyncZhipuAI("a.b", ssl=value)
    with pytest.raises(TypeError):
        AsyncZhipuAI("a.b").with_options(ssl=value)  # type: ignore[call-arg]
    for name in ("verify", "verify_ssl", "insecure", "ssl_verify"):
        with pytest.raises(TypeError):
            AsyncZhipuAI("a.b", **{name: value})


async def test_what_the_user_hands_over_counts() -> None:
    """An own context, connector or session that does not verify is a choice that nobody makes by accident."""
    lax = ssl.create_default_context()
    lax.check_hostname, lax.verify_mode = False, ssl.CERT_NONE
    async with serving(CERTIFICATES["of an unknown authority"]) as sim:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False)) as session:
            for settings in ({"ssl": lax}, {"session": session}, {"connector": session.connector}):
                async with AsyncZhipuAI(sim.api_key, base_url=sim.base_url, **settings) as client:
                    assert (await client.chat.completions.create(**ASK)).text
                await asyncio.sleep(0)
        assert len(sim.requests) == 3


# ---------------------------------------------------------------- without TLS


@pytest.mark.parametrize("url", [url.replace("https:", "http:") for url in PLATFORMS.values()])
def test_the_services_own_hosts_are_not_asked_in_the_clear(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """ConfigError, by argument, by option and by variable."""
    with pytest.raises(ConfigError, match="https"):
        AsyncZhipuAI("a.b", base_url=url)
    with pytest.raises(ConfigError, match="https"):
        AsyncZhipuAI("a.b").with_options(base_url=url.upper().replace("HTTP", "http"))
    monkeypatch.setenv("ZHIPU_BASE_URL", url)
    with pytest.raises(ConfigError, match="https"):
        AsyncZhipuAI("a.b")


PRIVATE = ["localhost", "127.0.0.1", "127.1.2.3", "[::1]", "10.1.2.3", "192.168.1.5", "172.16.0.1", "169.254.1.1",
           "100.64.0.1", "[fe80::1%eth0]", "[fd00::1]", "vllm", "my_gpu", "gpu.local", "glm.internal", "vllm.ray.svc",
           "vllm.ray.svc.cluster.local", "gpu.lan", "box.home.arpa", "glm.example", "localhost."]  # fmt: skip
PUBLIC = ["8.8.8.8", "[2001:4860:4860::8888]", "gateway.example.com", "glm.my-company.cn", "1.1.1.1:8000",
          "local.evil.com", "127.0.0.1.evil.com", "example.com."]  # fmt: skip


@pytest.mark.parametrize("host", PRIVATE)
def test_private_hosts_are_asked_in_the_clear_without_a_word(host: str) -> None:
    """This machine, private networks, containers: where vLLM and simulators are."""
    AsyncZhipuAI("a.b", base_url=f"http://{host}/v1").with_options(base_url=f"http://{host}")


@pytest.mark.parametrize("host", PUBLIC)
def test_a_public_host_in_the_clear_is_a_warning(host: str) -> None:
    """PlainTextWarning, which names the host, points at the caller's line and can be made an error; https is silent."""
    for make in (
        lambda: AsyncZhipuAI("a.b", base_url=f"http://{host}/v1"),
        lambda: AsyncZhipuAI("a.b", base_url="http://localhost").with_options(base_url=f"http://{host}/v1"),
    ):
        with pytest.warns(PlainTextWarning, match="https") as caught:
            make()
        [warning] = caught
        assert host in str(warning.message)
        assert warning.filename == __file__
        assert "a.b" not in str(warning.message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        AsyncZhipuAI("a.b", base_url=f"https://{host}/v1")
