"""JSON web tokens made from an API key (README.md section 2 of the contract)."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
import warnings
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhipu_async.errors import ConfigError
from zhipu_async.protocol import token

from .feeding import examples

KEY = "0123456789abcdef0123456789abcdef.AbCdEfGh12345678"
VECTOR = (
    "eyJhbGciOiJIUzI1NiIsInNpZ25fdHlwZSI6IlNJR04iLCJ0eXAiOiJKV1QifQ"
    ".eyJhcGlfa2V5IjoiMDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWYiLCJleHAiOjE3NjM1OTY4MDAwMDAsInRpbWVzdGFtcCI6MTc2MzU5NjU5MDAwMH0"
    ".uMfyFj2Q4ENbMcZ4qc_OEbgqJ7hf-0g42Yv1WSWeHGA"
)


def parts(text: str) -> tuple[Any, Any]:
    """Header and payload of a token."""
    header, payload, _ = (base64.urlsafe_b64decode(part + "==") for part in text.split("."))
    return json.loads(header), json.loads(payload)


def test_vector_of_the_contract() -> None:
    """The contract's claims under the contract's key give the contract's token, byte for byte."""
    assert token.encode(KEY, expires=1763596800000, timestamp=1763596590000) == VECTOR
    assert token.sign(KEY, 1763596590.0).text == VECTOR


def test_claims() -> None:
    """Claims are milliseconds, the life is 210 s unless said otherwise, and a token is stale 30 s before its end."""
    signed = token.sign(KEY, 1763596590.25)
    header, payload = parts(signed.text)
    assert header == {"alg": "HS256", "sign_type": "SIGN", "typ": "JWT"}
    assert payload == {
        "api_key": "0123456789abcdef0123456789abcdef", "exp": 1763596800250, "timestamp": 1763596590250,
    }  # fmt: skip
    assert signed.stale_at == 1763596590.25 + 180
    longer = token.sign(KEY, 1000.0, life=3600)
    assert parts(longer.text)[1]["exp"] == 4_600_000
    assert longer.stale_at == 4570.0


@examples(100)
@given(st.floats(0, 4e9), st.floats(31, 1e6))
def test_any_time(now: float, life: float) -> None:
    """At any time claims are whole milliseconds as far apart as the life, and the signature is that of the secret."""
    signed = token.sign(KEY, now, life)
    payload = parts(signed.text)[1]
    assert all(isinstance(payload[claim], int) for claim in ("exp", "timestamp"))
    assert abs(payload["timestamp"] - now * 1000) <= 1
    assert abs(payload["exp"] - payload["timestamp"] - life * 1000) <= 1
    assert now < signed.stale_at < payload["exp"] / 1000
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        checked = jwt.decode(signed.text, "AbCdEfGh12345678", algorithms=["HS256"], options={"verify_exp": False})
    assert checked == payload


@pytest.mark.parametrize("key", ["nodot", ".secret", "id.", "a.b.c", ".", ""])
def test_keys_without_the_shape(key: str) -> None:
    """A key without exactly one dot and two parts is a ConfigError that does not show it."""
    with pytest.raises(ConfigError, match=r"<id>\.<secret>") as caught:
        token.sign(key, 0.0)
    assert key in ("", ".") or key not in str(caught.value)


def test_signing_is_silent() -> None:
    """Signing gives no warning, with warnings as errors, and leaves the warning filters as they were."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = list(warnings.filters)
        token.sign(KEY, 0.0)
        assert warnings.filters == before


def test_signing_in_many_threads_leaves_the_filters_alone() -> None:
    """Not even for a moment do they change: another thread would see it, or put back what it saw."""
    before, seen, ended = list(warnings.filters), [], threading.Event()

    def watch() -> None:
        while not ended.is_set():
            seen.append(list(warnings.filters) == before)

    watcher = threading.Thread(target=watch)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    watcher.start()
    try:
        signers = [threading.Thread(target=lambda: [token.sign(KEY, 0.0) for _ in range(50)]) for _ in range(4)]
        for signer in signers:
            signer.start()
        for signer in signers:
            signer.join()
    finally:
        ended.set()
        watcher.join()
        sys.setswitchinterval(interval)
    assert all(seen)
    assert list(warnings.filters) == before


def test_only_the_warning_of_the_key_length_is_silenced() -> None:
    """Other warnings that come while signing are still warnings."""

    class Loud(str):
        """A key that warns when it is looked at."""

        __slots__ = ()

        def partition(self, sep: str, /) -> tuple[str, str, str]:
            left, dot, right = super().partition(sep)
            return left, dot, LoudSecret(right)

    class LoudSecret(str):
        __slots__ = ()

        def encode(self, *args: Any, **kwargs: Any) -> bytes:
            warnings.warn("look", RuntimeWarning, stacklevel=2)
            return super().encode(*args, **kwargs)

    with pytest.warns(RuntimeWarning, match="look"):
        token.sign(Loud(KEY), 0.0)


def test_the_warning_stays_on_for_others() -> None:
    """After signing, PyJWT (where it has that warning) still warns everybody else of short keys."""
    if not hasattr(pytest.importorskip("jwt.warnings"), "InsecureKeyLengthWarning"):
        pytest.skip("this PyJWT does not warn of short keys")
    token.sign(KEY, 0.0)
    with pytest.warns(match="key is .* bytes"):
        jwt.encode({}, "AbCdEfGh12345678", algorithm="HS256")


def test_silent_in_a_program_of_its_own() -> None:
    """``python -W error`` signs without a word, and PyJWT is loaded by the first signature, not by the import."""
    program = (
        "import sys; from zhipu_async.protocol import token; assert 'jwt' not in sys.modules; "
        f"token.sign({KEY!r}, 0.0); assert 'jwt' in sys.modules"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
