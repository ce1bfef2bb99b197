"""The Authorization header: the key itself, or a token made from it and renewed before it expires."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Mapping
from inspect import isawaitable

from ..config import (
    KEY_VARIABLES,
    LONG_KEY,
    Auth,
    KeySource,
    Secret,
    check_jwt_key,
    check_key,
    hidden,
    key_and_endpoint,
    platform_of,
    resolve_base_url,
    variables_of,
)
from ..errors import ConfigError, ZhipuError
from ..protocol import token

_GIVEN = 64
"""Keys and tokens that are remembered: an open stream may quote one that is no longer in force."""
_SECRET_HEADER = re.compile("auth|key|token|secret|cookie|passw|sign", re.IGNORECASE)
_BETWEEN_WORDS = re.compile(r"[;=\s]+")
_TELLING = 24
"""So much of the beginning of a longer secret is one already: errors quote long texts in part."""
_DECIDING = frozenset({"clock", "code"})
"""Attributes of errors that say what is done next, and quote nothing."""


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
        self._given = deque([source] if isinstance(source, str) else (), maxlen=_GIVEN)

    @property
    def account(self) -> Hashable:
        """The key or its source as a part of keys of dicts; a source that cannot be hashed counts as itself alone."""
        try:
            hash(self.source)
        except TypeError:
            return _Itself(self.source)
        return self.source

    @property
    def renewable(self) -> bool:
        """Whether tokens are made here, so that an expired one can be replaced."""
        return self.auth == "jwt"

    def known(self) -> str | None:
        """``Bearer ...`` of a key that is text; None for one that comes from an async callable."""
        return self._bearer(self.source) if isinstance(self.source, str) else None

    def elsewhere(self, api_key: KeySource | None, auth: Auth | None, base_url: str | None) -> Credentials:
        """These, with what is given in its place. A key of the environment does not move to another platform: there
        the environment's key for that one counts."""
        key = self.source if api_key is None else api_key
        if api_key is None and base_url is not None:
            variables = variables_of()
            homes = [home for variable, home in KEY_VARIABLES.items() if variables[variable] == key]
            if homes and platform_of(resolve_base_url(base_url)) not in (None, *homes):
                key = key_and_endpoint(None, base_url)[0]
        if key is self.source and auth is None:
            return self
        return Credentials(key if callable(key) else check_key(key), auth or self.auth)

    async def authorization(self) -> str:
        """``Bearer ...``; awaits the key when it comes from an async callable."""
        return self._bearer(self.source if isinstance(self.source, str) else await self._current_key(self.source))

    def _bearer(self, key: str) -> str:
        return Secret(f"Bearer {self._token(key) if self.auth == 'jwt' else key}")

    async def _current_key(self, source: Callable[[], Awaitable[str]]) -> str:
        answer: object = source()
        if not isawaitable(answer):
            raise ConfigError("api_key must be a str or an async callable; this callable is not async")
        key = check_key(hidden(await answer))
        self._remember(key)
        return key

    def _remember(self, secret: str) -> None:
        if secret not in self._given:
            self._given.append(secret)

    def renew(self) -> None:
        """The service called the token expired: sign a new one next time."""
        self._tokens.clear()

    def _token(self, key: str) -> str:
        now = time.time()
        signed = self._tokens.get(key)
        if signed is None or now >= signed.stale_at or now < signed.stale_at - token.LIFE:
            signed = token.sign(key, now)
            self._tokens = {key: signed}  # rotation: the token of the key before is not needed again
            self._remember(signed.text)
        return signed.text

    def censor(self, headers: Mapping[str, str], error: ZhipuError) -> None:
        """Take out of ``error`` the keys and tokens that were given, and the request's secret ``headers``."""
        censor(error, *self._given, *(value for name, value in headers.items() if _SECRET_HEADER.search(name)))

    def __repr__(self) -> str:
        return f"<Credentials {self.auth}>"


class _Itself:
    """Stands for an object, which it keeps, and equals what stands for the same one."""

    def __init__(self, one: object) -> None:
        self._one = one

    def __hash__(self) -> int:
        return id(self._one)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and other._one is self._one


def censor(error: BaseException, *secrets: str) -> None:
    """Take secrets out of an answer that quotes them: out of the texts of an error and of its causes.

    They are looked for word by word, as in ``Bearer ...``; what is as short as any word is no secret.
    """
    words = {word for secret in secrets for word in _BETWEEN_WORDS.split(secret) if len(word) >= LONG_KEY}
    if not words:
        return
    shapes = [
        re.escape(word[:_TELLING]) + r"[\w.+/-]*" * (len(word) > _TELLING) for word in sorted(words, reverse=True)
    ]
    quoted = re.compile("|".join(shapes), re.IGNORECASE)
    link: BaseException | None = error
    while link is not None:
        link.args = tuple(quoted.sub("***", text) if isinstance(text, str) else text for text in link.args)
        for name, text in vars(link).items():
            if isinstance(text, str) and name not in _DECIDING:
                setattr(link, name, quoted.sub("***", text))
        link = link.__cause__
