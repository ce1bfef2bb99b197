"""JSON web tokens made from an API key (README.md section 2). PyJWT is loaded when the first one is signed."""

from __future__ import annotations

import warnings
from contextlib import suppress
from typing import NamedTuple

from ..config import Secret, check_jwt_key
from ..errors import ConfigError

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
    import jwt

    identity, _, secret = check_jwt_key(api_key).partition(".")
    with warnings.catch_warnings():
        # The service's secrets are 16 bytes; PyJWT warns of every key under 32. Only that warning, only here.
        with suppress(ImportError):
            from jwt.warnings import InsecureKeyLengthWarning

            warnings.simplefilter("ignore", InsecureKeyLengthWarning)
        try:
            text = jwt.encode(
                {"api_key": identity, "exp": expires, "timestamp": timestamp},
                secret,
                algorithm="HS256",
                headers={"sign_type": "SIGN"},
            )
        except jwt.PyJWTError:  # a secret that looks like a public key
            text = ""
    if not text:  # not raised above: the other error's traceback knows the key
        raise ConfigError('no token can be made of this key; use auth="bearer"')
    return Secret(text)
