"""The Authorization header: the key itself, or a token made from it and renewed before it expires."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from inspect import isawaitable

from ..config import Auth, KeySource, Secret, check_jwt_key, check_key, hidden
from ..errors import APIError, ConfigError, DecodeError
from ..protocol import token


class Credentials:
    """Gives the current Authorization. Never shows the key, in its repr or anywhere else."""

    def __init__(self, source: KeySource, auth: Auth) -> None:
        self.source = source
        self.auth: Auth = auth
        if auth not in ("bearer", "jwt"):
            raise ConfigError(f'auth must be "bearer" or "jwt", not {auth!r}')
        if isinstance(source, str) and auth == "jwt":
            check_jwt_key(source)
        self._tokens: dict[str, token.Token] = {}

    @property
    def renewable(self) -> bool:
        """Whether tokens are made here, so that an expired one can be replaced."""
        return self.auth == "jwt"

    def known(self) -> str | None:
        """``Bearer ...`` of a key that is text; None for one that comes from an async callable."""
        return self._bearer(self.source) if isinstance(self.source, str) else None

    async def authorization(self) -> str:
        """``Bearer ...``; awaits the key when it comes from an async callable."""
        return self._bearer(self.source if isinstance(self.source, str) else await self._current_key(self.source))

    def _bearer(self, key: str) -> str:
        return Secret(f"Bearer {self._token(key) if self.auth == 'jwt' else key}")

    async def _current_key(self, source: Callable[[], Awaitable[str]]) -> str:
        answer: object = source()
        if not isawaitable(answer):
            raise ConfigError("api_key must be a str or an async callable; this callable is not async")
        return check_key(hidden(await answer))

    def renew(self) -> None:
        """The service called the token expired: sign a new one next time."""
        self._tokens.clear()

    def _token(self, key: str) -> str:
        now = time.time()
        signed = self._tokens.get(key)
        if signed is None or now >= signed.stale_at or now < signed.stale_at - token.LIFE:
            signed = token.sign(key, now)
            self._tokens = {key: signed}  # rotation: the token of the key before is not needed again
        return signed.text

    def __repr__(self) -> str:
        return f"<Credentials {self.auth}>"


def censor(error: APIError | DecodeError, authorization: str) -> None:
    """Take the key or token out of an answer that quotes it."""
    secret = authorization.removeprefix("Bearer ")
    if secret and secret in f"{error.args}{error.body}":
        error.args = tuple(text.replace(secret, "***") for text in error.args)
        error.body = error.body and error.body.replace(secret, "***")
