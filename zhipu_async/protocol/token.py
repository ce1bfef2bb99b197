"""JSON web tokens made from an API key (README.md section 2). PyJWT is loaded when the first one is signed."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from ..config import Secret, check_jwt_key
from ..errors import ConfigError

if TYPE_CHECKING:
    from jwt import PyJWS

LIFE = 210.0
"""Seconds that a token is valid, as the official SDK has it."""
RENEWED_BEFORE = 30.0
"""Seconds before its expiry at which a token is replaced."""


class Token(NamedTuple):
    """A signed token and the time (Unix seconds) from which it is to be replaced."""

    text: str
    stale_at: float


def sign(api_key: str, now: float, life: float = LIFE) -> Token:
    """A token for ``<id>.<secret>``, valid for ``life`` seconds from ``now`` (Unix seconds)."""
    milliseconds = round(now * 1000)
    text = encode(api_key, expires=milliseconds + round(life * 1000), timestamp=milliseconds)
    return Token(text, now + life - RENEWED_BEFORE)


def encode(api_key: str, *, expires: int, timestamp: int) -> str:
    """The token with the claims given, in milliseconds since the epoch."""
    from jwt import PyJWTError

    identity, _, secret = check_jwt_key(api_key).partition(".")
    claims = msgspec.json.encode({"api_key": identity, "exp": expires, "timestamp": timestamp})
    try:
        text = _signer().encode(claims, secret, "HS256", {"sign_type": "SIGN"})
    except PyJWTError:  # a secret that looks like a public key
        text = ""
    if not text:  # not raised above: the other error's traceback knows the key
        raise ConfigError('no token can be made of this key; use auth="bearer"')
    return Secret(text)


@cache
def _signer() -> PyJWS:
    """PyJWT's HS256 without its warning of keys under 32 bytes: the service's secrets are 16. To filter the warning
    instead would change the filters of all threads."""
    from jwt import PyJWS
    from jwt.algorithms import HMACAlgorithm

    class AnyLength(HMACAlgorithm):
        def check_key_length(self, key: bytes) -> str | None:
            return None

    signer = PyJWS(algorithms=[])
    signer.register_algorithm("HS256", AnyLength(HMACAlgorithm.SHA256))
    return signer
