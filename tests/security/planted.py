"""Secrets that are planted, and the search for them in everything that can be read afterwards."""

from __future__ import annotations

import base64
import pickle
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path

import jwt

TESTS = str(Path(__file__).parent.parent)

KEY = "c0ffee00c0ffee00c0ffee00c0ffee00.PlantedKeySecret1"
PLAIN_KEY = "sk-planted-PlainKeySecret2"
PASSWORD = "ProxyPasswordSecret3"
HEADER = "ApiHeaderSecret4"
COOKIE = "CookieSecret5"
QUERY = "QuerySecret6"
SECRET_HEADERS = {"X-Api-Key": HEADER, "Cookie": f"session={COOKIE}"}


def forms() -> Iterator[str]:
    """What must not be found: secrets, the half of a key that signs, the head of a token, Basic credentials."""
    yield KEY.partition(".")[2]
    yield from (PLAIN_KEY, PASSWORD, HEADER, COOKIE, QUERY)
    yield base64.b64encode(f"user:{PASSWORD}".encode()).decode().rstrip("=")
    yield jwt.encode({"api_key": KEY.partition(".")[0]}, "x" * 32, headers={"sign_type": "SIGN"}).partition(".")[0]


FORMS = tuple(forms())


def found_in(*texts: str | bytes) -> list[str]:
    """The planted secrets that these texts hold, with a little of what is around them."""
    found: list[str] = []
    for text in texts:
        whole = text.decode("latin-1") if isinstance(text, bytes) else text
        for form in FORMS:
            if (place := whole.find(form)) >= 0:
                found.append(whole[max(0, place - 60) : place + len(form)])
    return found


def chain(error: BaseException) -> list[BaseException]:
    """An error with all that it is chained to, by cause and by context, whether that is shown or not."""
    errors: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        link = waiting.pop()
        if link is not None and not any(link is known for known in errors):
            errors.append(link)
            waiting += [link.__cause__, link.__context__]
    return errors


def told_by(error: BaseException) -> Iterable[str | bytes]:
    """All that an error tells: text, repr, attributes and notes, with its whole chain; and its pickle."""
    for link in chain(error):
        yield from (str(link), repr(link), repr(vars(link)), repr(link.args), *getattr(link, "__notes__", ()))
    yield pickle.dumps(error)


def locals_of(error: BaseException) -> Iterable[str]:
    """Each frame of the tracebacks of an error and its chain, with its locals, as a crash report prints them.

    Frames of the tests are left out: they hold what was planted. URLs are shown whole, so their queries are, too.
    """
    for link in chain(error):
        told = traceback.TracebackException.from_exception(link, capture_locals=True)
        for frame in told.stack:
            if TESTS not in frame.filename:
                shown = "".join(f"{name} = {value}\n" for name, value in (frame.locals or {}).items())
                yield f"{frame.filename}:{frame.lineno} {shown}".replace(QUERY, "")
