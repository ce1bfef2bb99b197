"""What is asked, and when: prompts of a given length, and loads with their arrival times."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, repeat
from random import Random
from typing import Any, Protocol

from ..config import check_count
from ..errors import ConfigError

_COMMON = """
after air all animal answer area back bank big bird black blue boat body book box bread bring build car city clear cloud
cold corn cup dark day deep dog door dream drive dry earth east egg eye face fall farm fast field fine fire fish five
floor food forest four free full game garden glass gold good grass great green hair half hand hat head heart heavy high
hill home horse hot hour house ice iron island key kind king lake land last late leaf letter life light line long love
low map market milk mind moon morning music name new night north oil old one open paper park path place plant point port
rain red rest rich ring river road rock room rose round salt sand school sea seed ship shoe shop short silver sky sleep
slow small snow soft song south space spring star stone story street sugar sun table tail tall tea ten town train tree
true two voice wall war warm watch water way west wheel white wide wild wind window winter wood word work year young
"""
WORDS = _COMMON.split()
"""Short common words: each is one token of nearly every vocabulary, with the blank before it."""
_TASK = ". Write a long story in which these words occur. Do not stop early."
_TASK_TOKENS = 16
"""Of the sentence above, and of the number at the beginning."""
MOST = 65_535
"""Requests at a time, or per second: about as many connections as there are ports. More is a slip of the hand."""


class Prompts(Protocol):
    """Where the parameters of the calls come from."""

    def arguments(self, number: int) -> Mapping[str, Any]:
        """Of the call with this number, from 0 on: parameters of ``chat.completions.create``, without the model."""
        ...

    @property
    def described(self) -> Mapping[str, Any]:
        """What a report says of them."""
        ...


@dataclass(frozen=True, slots=True)
class Synthetic:
    """Prompts of about ``tokens`` tokens of English, no two with the same beginning, so that no prefix cache answers.

    The length is estimated: short common words at one token each. What the service counted is in the report. The same
    ``seed`` makes the same prompts, which a service may then have in its cache from the run before.
    """

    tokens: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        check_count("prompt tokens", self.tokens, least=_TASK_TOKENS)

    def text(self, number: int) -> str:
        """The prompt with this number."""
        chance = Random(f"{self.seed}/{number}")
        words = chance.choices(WORDS, k=max(1, self.tokens - _TASK_TOKENS))
        return f"{chance.getrandbits(40):010x} {number}: {' '.join(words)}{_TASK}"

    def arguments(self, number: int) -> Mapping[str, Any]:
        """A question."""
        return {"messages": [{"role": "user", "content": self.text(number)}]}

    @property
    def described(self) -> Mapping[str, Any]:
        """Kind, length and seed."""
        return {"kind": "synthetic", "tokens": self.tokens, "seed": self.seed}


@dataclass(frozen=True, slots=True)
class Given:
    """Calls of your own, in their order, and again from the beginning when they are used up.

    Each is a mapping of parameters of ``chat.completions.create``; ``name`` says in reports where they are from.
    """

    calls: Sequence[Mapping[str, Any]]
    name: str = "given"

    def __post_init__(self) -> None:
        if not self.calls:
            raise ConfigError("there are no prompts to measure with")

    def arguments(self, number: int) -> Mapping[str, Any]:
        """Those of the call."""
        return self.calls[number % len(self.calls)]

    @property
    def described(self) -> Mapping[str, Any]:
        """Name and number."""
        return {"kind": "given", "name": self.name, "count": len(self.calls)}


@dataclass(frozen=True, slots=True)
class Closed:
    """So many requests in flight at any time: the next starts when one has ended. Shows what a service can take."""

    concurrency: int

    def __post_init__(self) -> None:
        check_count("concurrency", self.concurrency, least=1)
        if self.concurrency > MOST:
            raise ConfigError(f"concurrency must be at most {MOST}, not {self.concurrency}")

    @property
    def value(self) -> float:
        """Where it stands among loads of its kind."""
        return self.concurrency

    @property
    def label(self) -> str:
        """In words."""
        return label_of("closed", self.value)

    @property
    def warmup(self) -> int:
        """Requests that open all its connections."""
        return self.concurrency


@dataclass(frozen=True, slots=True)
class Open:
    """So many requests a second, whether or not earlier ones have ended, as users come. Shows how long they wait.

    The gaps between them are drawn from a gamma distribution with the shape ``burstiness``: 1 is a Poisson process,
    less comes in bursts, ``inf`` is an even beat.
    """

    rate: float
    burstiness: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.rate <= MOST:
            raise ConfigError(f"rate must be a number of requests per second above 0, up to {MOST}, not {self.rate!r}")
        if not self.burstiness > 0:
            raise ConfigError(f"burstiness must be positive (1 is Poisson, inf an even beat), not {self.burstiness!r}")

    @property
    def value(self) -> float:
        """Where it stands among loads of its kind."""
        return self.rate

    @property
    def label(self) -> str:
        """In words."""
        return label_of("open", self.value)

    @property
    def warmup(self) -> int:
        """Requests that open about as many connections as are needed at once."""
        return math.ceil(self.rate)

    def arrivals(self, chance: Random) -> Iterator[float]:
        """Seconds from the first request at which requests are due, without end."""
        if math.isinf(self.burstiness):
            return accumulate(repeat(1 / self.rate), initial=0.0)
        scale = 1 / (self.rate * self.burstiness)
        return accumulate((chance.gammavariate(self.burstiness, scale) for _ in repeat(None)), initial=0.0)


Load = Closed | Open


def label_of(mode: str, value: float) -> str:
    """A load in words: ``8 at a time``, ``2.5 per second``."""
    return f"{value:g} at a time" if mode == "closed" else f"{value:g} per second"
