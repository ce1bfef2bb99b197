"""Programs that nobody here wrote, in front of a service or on the way to it: nginx, HAProxy, squid, tinyproxy.

Each runs on a free port of the loopback with a configuration of its own in a temporary directory, as root or not.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import pytest

START_SECONDS = 10.0
"""How long a program may take to answer on its port."""
STARTS = 3
"""How often it is started, on another port each time, before the test fails: somebody may have taken the port."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program that runs."""

    port: int
    folder: Path
    """Its configuration, what it writes, and its logs."""
    process: subprocess.Popen[bytes]

    @property
    def address(self) -> str:
        """Where it listens: ``127.0.0.1:PORT``."""
        return f"127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """What a client is given, where it speaks in plain text."""
        return f"http://{self.address}/api/paas/v4"

    @property
    def secure_url(self) -> str:
        """What a client is given, where it speaks TLS."""
        return f"https://{self.address}/api/paas/v4"

    @property
    def output(self) -> str:
        """What it has written to its output."""
        return (self.folder / "output").read_text(errors="replace")

    async def tell(self, number: signal.Signals, answer: str) -> None:
        """Send a signal, and wait until it writes ``answer`` once more; again after a second, as it may be busy."""
        before = self.output.count(answer)
        for _ in range(int(START_SECONDS)):
            self.process.send_signal(number)
            for _ in range(100):
                if self.output.count(answer) > before:
                    return
                await asyncio.sleep(0.01)
        pytest.fail(f"no {answer!r} after {number.name}: {self.output[-2000:]}")

    def end(self) -> None:
        """Kill it and the processes that it has started, which are of its group; harmless when it is gone."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for segment in Path("/dev/shm").glob(f"{_plain(self.folder)}-*"):  # squid's memory, which only it would remove
            segment.unlink(missing_ok=True)


def free_port() -> int:
    """A port of the loopback where nothing listens."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def port_of(url: str) -> int:
    """The port in ``url``."""
    port = urlsplit(url).port
    assert port is not None
    return port


def _plain(folder: Path) -> str:
    """The name of a program's directory without all but letters and digits."""
    return "".join(filter(str.isalnum, folder.name))


Configure = Callable[[Path, int], str]
"""Makes a configuration out of the program's directory and its port."""


@contextmanager
def running(name: str, options: tuple[str, ...], configure: Configure) -> Iterator[Program]:
    """``name`` while it runs with the configuration, whose path is put behind ``options``.

    Where it is not installed the test is skipped, or fails where REQUIRE_FAULT_PROGRAMS=1 says that it must be there.
    """
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        if os.environ.get("REQUIRE_FAULT_PROGRAMS") == "1":
            pytest.fail(f"{name} is not installed, and REQUIRE_FAULT_PROGRAMS=1")
        pytest.skip(f"{name} is not installed")
    with TemporaryDirectory(prefix=f"fault-{name}-", ignore_cleanup_errors=True) as path:
        folder = Path(path)
        folder.chmod(0o755)  # squid, started by root, is another user afterwards
        for _ in range(STARTS):
            port = free_port()
            configuration = folder / "configuration"
            configuration.write_text(configure(folder, port))
            with (folder / "output").open("wb") as output:
                process = subprocess.Popen(
                    [found, *(option.format(name=_plain(folder)) for option in options), str(configuration)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            program = Program(port, folder, process)
            try:
                if _answers(program):
                    yield program
                    return
            finally:
                program.end()
        pytest.fail(f"{name} does not start: {program.output[-2000:]}")


def _answers(program: Program) -> bool:
    """Wait until it listens; False when it ends or stays silent."""
    until = time.monotonic() + START_SECONDS
    while program.process.poll() is None and time.monotonic() < until:
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", program.port)) == 0:
                return True
        time.sleep(0.005)
    return False


def nginx(upstream: str, *, location: str = "", server: str = "", http: str = "", tls: Path | None = None) -> Configure:
    """nginx in front of ``upstream`` (a URL), with more directives of three levels; ``tls``: its key and chain."""

    def configure(folder: Path, port: int) -> str:
        secure = f"ssl_certificate {tls}; ssl_certificate_key {tls};" if tls else ""
        return f"""
            daemon off; worker_processes 1; {"user root;" if os.geteuid() == 0 else ""}
            pid {folder}/pid; error_log stderr notice;
            events {{ worker_connections 512; }}
            http {{
                log_format seen '$connection $status'; access_log {folder}/seen seen;
                client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
                uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
                {http}
                server {{
                    listen 127.0.0.1:{port}{" ssl" if tls else ""}; {secure} {server}
                    location / {{
                        proxy_pass http://127.0.0.1:{port_of(upstream)};
                        proxy_http_version 1.1; proxy_set_header Connection ""; {location}
                    }}
                }}
            }}"""

    return configure


def haproxy(
    upstream: str, *, defaults: str = "", frontend: str = "", server: str = "", tls: Path | None = None
) -> Configure:
    """HAProxy in front of ``upstream`` (a URL), with more lines of three sections; ``tls``: its key and chain."""

    def configure(folder: Path, port: int) -> str:
        lines = f"""
            global
            maxconn 512
            stats socket {folder}/admin mode 600 expose-fd listeners
            defaults
            mode http
            retries 0
            timeout connect 2s
            timeout client 10s
            timeout server 10s
            {defaults}
            frontend front
            bind 127.0.0.1:{port}{f" ssl crt {tls}" if tls else ""}
            {frontend}
            default_backend service
            backend service
            server one 127.0.0.1:{port_of(upstream)} {server}"""
        return "\n".join(line.strip() for line in lines.splitlines()) + "\n"

    return configure


def tinyproxy(*, ports: tuple[int, ...] = ()) -> Configure:
    """tinyproxy, which wants ``user`` and ``right-password``; ``ports``: the only ones it makes tunnels to."""

    def configure(folder: Path, port: int) -> str:
        lines = [f"Port {port}", "Listen 127.0.0.1", "Allow 127.0.0.1", "Timeout 30", "MaxClients 100"]
        lines += [f'LogFile "{folder}/log"', "BasicAuth user right-password", *(f"ConnectPort {it}" for it in ports)]
        return "\n".join(lines) + "\n"

    return configure


def squid(*, rules: str = "") -> Configure:
    """squid, which wants ``user`` and ``right-password``; ``rules``: lines before the one that lets these in."""

    def configure(folder: Path, port: int) -> str:
        asked = folder / "asked.sh"
        asked.write_text('while read -r line; do [ "$line" = "user right-password" ] && echo OK || echo ERR; done\n')
        lines = f"""
            http_port 127.0.0.1:{port}
            visible_hostname localhost
            pid_filename none
            access_log none
            cache_log /dev/null
            cache deny all
            pinger_enable off
            max_filedescriptors 1024
            connect_timeout 2 seconds
            auth_param basic program /bin/sh {asked}
            auth_param basic children 1
            acl known proxy_auth REQUIRED
            {rules}
            http_access allow known
            http_access deny all"""
        return "\n".join(line.strip() for line in lines.splitlines()) + "\n"

    return configure


OPTIONS = {
    "nginx": ("-c",),
    "haproxy": ("-W", "-db", "-f"),
    "tinyproxy": ("-d", "-c"),
    "squid": ("-N", "-n", "{name}", "-f"),
}
"""How each is started in the foreground; last comes the option for the path of its configuration.

``{name}`` is one of its own, by which squids that run at the same time keep apart.
"""
