"""Who may ask: raw keys and the tokens made from them (contract page README.md, section 2)."""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64decode
from collections.abc import Callable, Collection
from typing import Any, Final

import msgspec.json

from zhipu_async.simulator.replies import Refusal

DEFAULT_KEY: Final = "0123456789abcdef0123456789abcdef.AbCdEfGh12345678"
_CODES: Final = {"no header": "1001", "illegal": "1002", "expired": "1003", "unverified": "1004", "wrong": "401"}


def check(authorization: str | None, keys: Collection[str] | None, clock: Callable[[], float]) -> Refusal | None:
    """What is wrong with an Authorization header; None where nothing is. `keys=None` accepts any key.

    The signature of a token is computed here, without the library that clients make it with.
    """
    if not authorization:
        return Refusal(_CODES["no header"])
    scheme, _, token = authorization.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        return Refusal(_CODES["illegal"])
    if keys is None or token in keys:
        return None
    if token.count(".") != 2:
        return Refusal(_CODES["wrong"])
    return _check_token(token, keys, clock)


def _check_token(token: str, keys: Collection[str], clock: Callable[[], float]) -> Refusal | None:
    signed, _, signature = token.rpartition(".")
    header, _, payload = signed.partition(".")
    said, claims = _part(header), _part(payload)
    if said is None or claims is None or said.get("alg") != "HS256" or said.get("sign_type") != "SIGN":
        return Refusal(_CODES["illegal"])
    identity, expires, timestamp = claims.get("api_key"), claims.get("exp"), claims.get("timestamp")
    if not (isinstance(identity, str) and isinstance(expires, int) and isinstance(timestamp, int)):
        return Refusal(_CODES["illegal"])
    secret = next((secret for known, _, secret in (key.partition(".") for key in keys) if known == identity), None)
    if not secret:  # a key without a dot signs nothing
        return Refusal(_CODES["wrong"])
    expected = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest()
    if not hmac.compare_digest(expected, _decoded(signature)):
        return Refusal(_CODES["unverified"])
    return Refusal(_CODES["expired"]) if expires <= clock() * 1000 else None


def _decoded(text: str) -> bytes:
    try:
        return urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return b""


def _part(text: str) -> dict[str, Any] | None:
    try:
        return msgspec.json.decode(_decoded(text), type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
