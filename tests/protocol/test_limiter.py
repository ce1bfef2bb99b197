"""The concurrency limiter: its rules one by one, its traps, and what it promises, in the simulation of benchmarks/."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.limiter_simulation import (
    COLUMNS,
    Client,
    Service,
    World,
    change,
    cold,
    interactive,
    overload,
    rates,
    several,
    steady,
    within,
)
from zhipu_async.errors import ConfigError
from zhipu_async.protocol.limiter import OVERLOADED, Limiter, Ticket

from .feeding import examples

pytestmark = pytest.mark.heavy  # seconds of what no version of Python changes

LIMITER = COLUMNS["limiter"]
SETTLE = 0.25  # until a refusal was seen


class Driven:
    """A limiter, a clock and the tickets in flight, oldest first."""

    def __init__(self, draw: Callable[[], float] = lambda: 0.5, **options: Any) -> None:
        self.limiter = Limiter(draw, **options)
        self.now = 100.0
        self.tickets: list[Ticket] = []

    def wait(self, seconds: float) -> None:
        """Time passes, and the limiter looks at the clock."""
        self.now += seconds
        self.limiter.wake_at(self.now)

    def may(self, **how: bool) -> bool:
        return self.limiter.may_start(self.now, **how)

    def start(self, most: int = 100_000) -> list[Ticket]:
        """As many background calls as may start, at most so many."""
        started: list[Ticket] = []
        while len(started) < most and self.may():
            started.append(self.limiter.on_start(self.now))
        self.tickets += started
        return started

    def succeed(self, number: int) -> None:
        """The oldest calls are answered."""
        for ticket in self.tickets[:number]:
            self.limiter.on_success(self.now, ticket)
        del self.tickets[:number]

    def refuse(self, *tickets: Ticket, code: str = "1302") -> None:
        for ticket in tickets:
            self.tickets.remove(ticket)
            self.limiter.on_refused(self.now, ticket, code)

    def cancel(self, *tickets: Ticket) -> None:
        for ticket in tickets:
            self.tickets.remove(ticket)
            self.limiter.on_cancelled(ticket)

    def work(self, calls: int) -> None:
        """So many calls are answered and replaced, with no time passing."""
        for _ in range(calls):
            self.succeed(1)
            self.start(1)

    def refused_round(self, refused: int = 1) -> None:
        """Opens a round, has so many of its probes refused, and lets it end."""
        probes = [ticket for ticket in self.start() if ticket.probe]
        self.now += 0.1
        self.refuse(*probes[:refused])
        self.wait(self.limiter.settle)


def at_level(level: int, **options: Any) -> Driven:
    """A limiter with so many calls in flight, before any refusal or round."""
    driven = Driven(begin=level, **options)
    for _ in range(level):
        driven.start(1)
    return driven


# ---------------------------------------------------------------- rules 1 to 3, 11: level, rounds, growth


def test_the_level_starts_at_once_and_one_round_of_probes_above_it() -> None:
    """Four calls of the first level are no probes, four more are, and nothing starts before the round is judged."""
    driven = Driven()
    assert [ticket.probe for ticket in driven.start()] == [False] * 4 + [True] * 4
    assert driven.limiter.wake_at(driven.now) == driven.now + SETTLE
    driven.wait(SETTLE - 0.01)
    assert not driven.may()
    assert driven.limiter.level == 4
    driven.wait(0.02)
    assert driven.limiter.level == 8


def test_rounds_that_double_are_the_slow_start() -> None:
    """Without a refusal the level doubles with each round, 0.25 s after the last one was judged."""
    driven, levels = Driven(), [4]
    while driven.limiter.level < 500:
        driven.start()
        driven.now = driven.limiter.wake_at(driven.now) or math.nan
        if driven.limiter.may_start(driven.now) or driven.limiter.level != levels[-1]:
            levels.append(driven.limiter.level)
    assert sorted(set(levels)) == [4, 8, 16, 32, 64, 128, 256, 512]
    assert driven.now == pytest.approx(100 + 7 * SETTLE + 6 * 0.25)


def test_a_round_that_was_not_filled_raises_the_level_by_what_was_sent() -> None:
    """Two probes of a round for four raise the level by two."""
    driven = at_level(4)
    assert len(driven.start(2)) == 2
    driven.wait(SETTLE)
    assert driven.limiter.level == 6


def test_a_round_is_judged_by_its_last_start() -> None:
    """A round whose probes start one after the other is open until the last one is settled."""
    driven = at_level(4)
    for _ in range(4):
        driven.start(1)
        driven.now += 0.2
    driven.wait(SETTLE - 0.21)
    assert driven.limiter.level == 4
    driven.wait(0.02)
    assert driven.limiter.level == 8


def test_a_round_sends_no_more_once_a_probe_was_refused() -> None:
    """Of a round for four that has sent two, nothing more starts after one was refused."""
    driven = at_level(4)
    probes = driven.start(2)
    assert driven.may()
    driven.refuse(probes[0])
    assert not driven.may()


def test_a_round_opens_only_when_the_level_is_in_use() -> None:
    """With one call too few in flight a start is no probe; with calls above the level, after cuts, none starts."""
    driven = at_level(4)
    driven.succeed(1)
    assert [ticket.probe for ticket in driven.start(2)] == [False, True]
    driven = at_level(100)
    driven.refuse(driven.tickets[0])
    driven.succeed(5)
    driven.start(1)
    driven.refuse(driven.tickets[-1])
    assert driven.limiter.level == 81
    driven.wait(10)
    assert driven.limiter._good >= driven.limiter._owed
    assert not driven.may()


@pytest.mark.parametrize(
    ("interactive", "background_waiting", "allowed"),
    [(False, False, True), (False, True, True), (True, False, True), (True, True, False)],
)
def test_an_interactive_call_is_no_probe_while_background_work_can_be(
    interactive: bool, background_waiting: bool, allowed: bool
) -> None:
    """Above the level an interactive call starts only when no background call waits."""
    driven = at_level(4)
    assert driven.may(interactive=interactive, background_waiting=background_waiting) is allowed
    driven.succeed(1)
    assert driven.may(interactive=True, background_waiting=True)


@pytest.mark.parametrize(("start", "limit", "steps"), [(38, 41, [1, 1, 1, 2, 4]), (190, 201, [1, 5, 2, 1, 1, 1, 2, 4])])
def test_below_a_refused_level_steps_halve_the_distance_and_past_it_they_double(
    start: int, limit: int, steps: list[int]
) -> None:
    """After a refused round the sizes of the next rounds halve the way to the refused level; past it they double."""
    driven = at_level(limit - 1)
    driven.limiter._step = 1
    driven.refused_round()
    assert (driven.limiter.level, driven.limiter.limit) == (start, limit)
    found: list[int] = []
    driven.succeed(len(driven.tickets) - start)
    driven.work(64)
    for _ in steps:
        driven.wait(2.6)
        found.append(sum(ticket.probe for ticket in driven.start()))
        driven.wait(driven.limiter.settle)
        driven.start()
    assert found == steps
    assert driven.limiter.limit is None


# ---------------------------------------------------------------- rules 4 to 7: refusals


@pytest.mark.parametrize(
    ("size", "refused", "level", "limit", "owed"),
    [(20, 1, 37, 40, 64), (20, 3, 35, 38, 192), (20, 4, 34, 37, 256), (20, 12, 27, 29, 256), (20, 20, 19, 21, 256)],
)
def test_a_refused_round_keeps_what_was_admitted_and_gives_5_percent_back(
    size: int, refused: int, level: int, limit: int, owed: int
) -> None:
    """The level rises by the admitted probes, and 64 successes are owed for each refused one, up to 4."""
    driven = at_level(size)
    driven.refused_round(refused)
    assert (driven.limiter.level, driven.limiter.limit) == (level, limit)
    driven.succeed(max(0, len(driven.tickets) - level))
    driven.start()
    driven.wait(3)
    driven.work(owed - 1 - driven.limiter._good)
    assert not driven.may()
    assert driven.limiter.wake_at(driven.now) is None, "only an answer can help"
    driven.succeed(1)
    assert [ticket.probe for ticket in driven.start()] == [False, True]


@pytest.mark.parametrize(("draw", "gap"), [(0.0, 0.75), (0.5, 1.0), (1.0, 1.25)])
def test_the_gap_after_a_refused_round_is_jittered_by_a_quarter(draw: float, gap: float) -> None:
    """The first gap is 1 s, 0.75 to 1.25 s by the drawn number."""
    driven = at_level(40, draw=lambda: draw)
    driven.refused_round(40)
    ended = driven.now
    driven.start()
    driven.work(256)
    driven.start()
    assert driven.limiter.wake_at(ended) == pytest.approx(ended + gap)


def test_gaps_double_up_to_two_seconds_and_fall_back_after_a_good_round() -> None:
    """Refused rounds in a row wait 1, 2, 2 s; after a good round it is 1 s again."""
    driven, gaps = at_level(40), list[float]()
    driven.limiter._step = 1
    for refused in (1, 1, 1, 0, 1):
        driven.refused_round(refused)
        ended = driven.now
        driven.succeed(max(0, len(driven.tickets) - driven.limiter.level))
        driven.start(driven.limiter.level - driven.limiter.in_flight)
        driven.work(64)
        gaps.append((driven.limiter.wake_at(ended) or math.nan) - ended)
        driven.wait(3)
    assert gaps == pytest.approx([1, 2, 2, 0.25, 1])


@pytest.mark.parametrize("level", [1, 2, 8, 100])
def test_percentages_are_rounded_at_random_and_right_on_average(level: int) -> None:
    """What a level gives back is 5 % of it on average, also where that is less than one slot."""
    limiter = Limiter(random.Random(1).random, begin=level)
    assert fmean(limiter._share(0.05) for _ in range(20_000)) == pytest.approx(0.05 * level, rel=0.1)


def test_cuts_that_follow_soon_take_5_15_45_and_50_percent() -> None:
    """Each refusal of a call started after the last cut, within two settles and the delay of it, takes more."""
    driven = at_level(1000)
    driven.limiter._ceiling = 1000  # no rounds
    levels: list[int] = []
    for _ in range(5):
        driven.now += 0.05
        driven.refuse(driven.tickets[-1])
        levels.append(driven.limiter.level)
        driven.succeed(len(driven.tickets) - driven.limiter.level + 1)
        driven.start(1)
    assert levels == [950, 808, 444, 222, 111]
    driven.wait(10)
    driven.refuse(driven.tickets[-1])
    assert driven.limiter.level == 105, "a late one is a first cut again"


@pytest.mark.parametrize(("later", "level"), [(0.24, 32), (0.26, 36)])
def test_soon_is_two_settles_and_the_delay_of_a_refusal(later: float, level: int) -> None:
    """With a delay of 0.05 s (settle 0.1 s) a refusal 0.24 s after a cut takes 15 %, one 0.26 s after it takes 5 %."""
    driven = at_level(40)
    driven.now += 0.05
    driven.refuse(driven.tickets[0])
    assert (driven.limiter.level, driven.limiter.limit) == (38, 39)
    driven.succeed(2)
    driven.now += later - 0.05
    driven.start(1)
    driven.now += 0.05
    driven.refuse(driven.tickets[-1])
    assert driven.limiter.level == level


def test_wake_at_names_no_round_that_is_not_paid_for() -> None:
    """After a refused round, with the level in use again, only an answer can help before the gap and after it."""
    driven = at_level(40)
    driven.refused_round(40)
    driven.succeed(2)
    assert driven.limiter.in_flight == driven.limiter.level
    for _ in range(3):
        assert driven.limiter.wake_at(driven.now) is None
        driven.now += 1


def test_a_cut_takes_at_least_one_slot_and_the_last_one_stays() -> None:
    """However many calls are refused one after the other, the level ends at 1 and a call may still start."""
    driven = at_level(8, draw=lambda: 0.99)
    driven.limiter._ceiling = 8
    for level in (7, 6, 4, 3, 2, 1, 1, 1):
        driven.now += 0.05
        driven.refuse(driven.tickets[-1])
        driven.succeed(len(driven.tickets))
        driven.start(1)
        assert driven.limiter.level <= level
    assert driven.limiter.level == 1
    driven.succeed(1)
    assert driven.may()


# ---------------------------------------------------------------- rule 8: settle


@pytest.mark.parametrize(("delay", "settle"), [(0.001, 0.05), (0.045, 0.09), (0.2, 0.4), (3.0, 1.0)])
def test_settle_is_twice_the_delay_of_refusals_within_bounds(delay: float, settle: float) -> None:
    """0.25 s before any refusal, then twice the delay, from 0.05 to 1 s."""
    driven = at_level(4)
    assert driven.limiter.settle == SETTLE
    driven.now += delay
    driven.refuse(driven.tickets[0])
    assert driven.limiter.settle == pytest.approx(settle)


# ---------------------------------------------------------------- rule 9: overload


def overloaded(driven: Driven, share: float, starts: int, seed: int = 0) -> None:
    """So many starts spaced as allowed, each answered at once, with 1305 by chance."""
    rng = random.Random(seed)
    for _ in range(starts):
        while not driven.may():
            driven.now = driven.limiter.wake_at(driven.now) or math.nan
        driven.start(1)
        if rng.random() < share:
            driven.refuse(driven.tickets[-1], code="1305")
        else:
            driven.succeed(1)


@pytest.mark.parametrize(("share", "braked"), [(0.1, False), (0.5, False), (0.95, True), (1.0, True)])
def test_the_brake_is_on_only_where_overload_is_the_rule(share: float, braked: bool) -> None:
    """After 2,000 starts the brake is on at 95 % and off at 50 %."""
    driven = Driven()
    overloaded(driven, share, 2000)
    assert driven.limiter.braked is braked


def test_the_brake_spaces_starts_and_lets_go_by_itself() -> None:
    """Braked, 64 starts take 3 s and further ones 1/8 s each; without 1305 it is off after a few."""
    driven = Driven()
    while not driven.limiter.braked:
        overloaded(driven, 1.0, 1)
    began = driven.now
    overloaded(driven, 1.0, 66)
    assert driven.now - began == pytest.approx(32 / 32 + 32 / 16 + 1 / 8, abs=0.2)
    began = driven.now
    overloaded(driven, 1.0, 80)
    assert driven.now - began == pytest.approx(80 / 8, abs=0.2)
    overloaded(driven, 0.0, 40)
    assert not driven.limiter.braked


def test_there_are_no_probes_under_the_brake() -> None:
    """A level that is in use gets no round while braked, and wake_at names none."""
    driven = at_level(4)
    driven.limiter.braked, driven.limiter._overload = True, 1.0
    driven.limiter._brake_until = driven.now + 0.1
    assert driven.limiter.wake_at(driven.now) is None
    driven.wait(5)
    assert not driven.may()
    assert driven.limiter.wake_at(driven.now) is None
    driven.succeed(1)
    assert driven.may()


def test_every_brake_begins_gently() -> None:
    """The second time the brake is on, the first starts are 1/32 s apart again."""
    driven = Driven()
    for _ in range(2):
        while not driven.limiter.braked:
            overloaded(driven, 1.0, 1)
        began = driven.now
        overloaded(driven, 1.0, 30)
        assert driven.now - began < 1.1
        overloaded(driven, 1.0, 100)
        while driven.limiter.braked:
            overloaded(driven, 0.0, 1)


@pytest.mark.parametrize(("code", "of_the_model"), [("1302", False), ("1303", False), ("1305", True), ("1312", True)])
def test_codes_of_the_model_are_no_codes_of_the_limit(code: str, of_the_model: bool) -> None:
    """1305 and 1312 leave the level alone; 1302 and 1303 cut it."""
    driven = at_level(40)
    driven.now += 0.05
    driven.refuse(driven.tickets[0], code=code)
    assert (code in OVERLOADED) is of_the_model
    assert driven.limiter.level == (40 if of_the_model else 38)


# ---------------------------------------------------------------- rule 10: idle


@pytest.mark.parametrize(
    ("idle", "level", "probes"), [(9.9, 200, 1), (10, 100, 50), (25, 50, 50), (70, 4, 4), (1e9, 4, 4)]
)
def test_an_unused_level_halves_every_ten_seconds(idle: float, level: int, probes: int) -> None:
    """A start after so many seconds of nothing finds it halved, once, and rounds that owe nothing climb back."""
    driven = at_level(200)
    driven.succeed(200)
    driven.limiter._step = 1
    driven.wait(0)
    driven.now += idle
    if level < 200:
        driven.limiter._owed = 1000
    for _ in range(2):
        driven.start(1)
        assert driven.limiter.level == level
        driven.succeed(1)
    assert driven.limiter.limit == (None if level == 200 else 200)
    assert sum(ticket.probe for ticket in driven.start()) == probes


def test_a_small_level_does_not_grow_by_idleness() -> None:
    """A level of 3 is 3 after an hour."""
    driven = at_level(3)
    driven.succeed(3)
    driven.now += 3600
    driven.start(1)
    assert driven.limiter.level == 3


@pytest.mark.parametrize(("calls", "level"), [(200, 200), (100, 200), (99, 4)])
def test_long_calls_that_fill_half_the_level_are_use(calls: int, level: int) -> None:
    """Calls that last for 70 s keep it, although nothing else happened in between; fewer than half do not."""
    driven = at_level(200)
    driven.succeed(200 - calls)
    driven.now += 70
    driven.succeed(calls)
    driven.start(1)
    assert driven.limiter.level == level


def test_long_calls_that_are_cancelled_were_use() -> None:
    """Where somebody asked while they were in flight, cancelled calls count like answered ones."""
    driven = at_level(200)
    driven.wait(70)
    driven.cancel(*driven.tickets)
    driven.start(1)
    assert driven.limiter.level == 200


# ---------------------------------------------------------------- options


def test_the_ceiling_is_never_passed() -> None:
    """Neither the level nor the calls in flight go above the user's ceiling, however long the service admits all."""
    driven = Driven(ceiling=21)
    for _ in range(50):
        driven.start()
        assert driven.limiter.in_flight <= 21
        driven.wait(0.3)
        driven.work(10)
    assert driven.limiter.level == driven.limiter.in_flight == 21
    assert driven.limiter.wake_at(driven.now) is None


def test_begin_is_bounded_by_the_ceiling() -> None:
    """A ceiling below the first level is the first level."""
    assert Limiter(random.random, ceiling=2).level == 2


@pytest.mark.parametrize("options", [{"begin": 0}, {"ceiling": 0}, {"fixed": 0}, {"reserve": 1.0}, {"reserve": -0.1}])
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    """Sizes below 1 and a reserve of everything raise ConfigError."""
    with pytest.raises(ConfigError):
        Limiter(random.random, **options)


def test_lingering_rests_a_slot_for_a_share_of_the_latency() -> None:
    """A slot answered after 1 s rests 30 ms and after 10 s 60 ms, and wake_at names the end of the rest."""
    for latency, rest in ((1.0, 0.03), (10.0, 0.06)):
        driven = Driven(fixed=4, linger=True)
        driven.start()
        driven.now += latency
        driven.succeed(1)
        assert driven.limiter.in_flight == 3
        assert not driven.may()
        wake = driven.limiter.wake_at(driven.now)
        assert wake == pytest.approx(driven.now + rest)
        driven.now = wake or math.nan
        assert driven.may()


@pytest.mark.parametrize(("level", "background"), [(3, 2), (8, 7), (40, 36), (1, 1)])
def test_the_reserve_is_kept_for_interactive_calls(level: int, background: int) -> None:
    """Background calls leave one slot in ten free, at least one but never all; interactive calls may take it."""
    driven = Driven(fixed=level, reserve=0.1)
    assert len(driven.start()) == background
    interactive = 0
    while driven.may(interactive=True):
        driven.limiter.on_start(driven.now, interactive=True)
        interactive += 1
    assert interactive == level - background


def test_a_level_with_a_reserve_grows_by_what_was_proved_above_it() -> None:
    """With a reserve, probes first fill the level up: 5 starts above 36 of 40 prove 41, 1 refused of them 40."""
    for refused, level, limit in ((0, 41, None), (1, 38, 41), (3, 36, 39)):
        driven = Driven(begin=40, reserve=0.1)
        driven.limiter._step = 1
        assert [ticket.probe for ticket in driven.start()] == [False] * 36 + [True] * 5
        driven.now += 0.1
        driven.refuse(*driven.tickets[-1 : -1 - refused : -1])
        driven.wait(driven.limiter.settle)
        assert driven.limiter.level == level
        assert driven.limiter.limit == limit


# ---------------------------------------------------------------- traps


def test_epochs_refusals_of_calls_from_before_a_decrease_count_nothing() -> None:
    """All calls of one level refused together, with a clock too coarse to tell them apart, are one cut of 5 %."""
    driven = at_level(40)
    driven.refuse(*driven.tickets)
    assert driven.limiter.level == 38


def test_epochs_a_refused_verdict_opens_one_too() -> None:
    """After a refused round no call of before is a reason to cut, whenever its refusal arrives."""
    driven = at_level(40)
    driven.refused_round(2)
    level = driven.limiter.level
    driven.wait(0.3)
    driven.refuse(*driven.tickets)
    assert driven.limiter.level == level


def test_whose_refusal_a_normal_call_is_refused_because_a_probe_took_its_slot() -> None:
    """While a round of 3 is open, 4 refusals of calls since it began are the round's and a fifth is a cut."""
    driven = at_level(40)
    driven.limiter._step = 3
    driven.start()
    driven.now += 0.01
    driven.succeed(10)
    driven.start()
    assert not any(ticket.probe for ticket in driven.tickets[-7:])
    driven.now += 0.05
    driven.refuse(*driven.tickets[-4:])
    assert driven.limiter.level == 40
    driven.refuse(driven.tickets[-1])
    assert driven.limiter.level == 38
    driven.wait(1)
    assert driven.limiter.level == 38, "the round is gone"


def test_whose_refusal_a_call_from_before_the_round_is_not_the_rounds() -> None:
    """A call that started before the open round and is refused cuts the level and ends the round."""
    driven = at_level(40)
    driven.start()
    driven.now += 0.05
    driven.refuse(driven.tickets[0])
    assert driven.limiter.level == 38
    driven.wait(1)
    assert driven.limiter.level == 38


@pytest.mark.parametrize("delay", [0.1, 0.3, 0.45])
def test_silence_is_no_success_before_a_refusal_could_be_known(delay: float) -> None:
    """Where refusals take up to 0.45 s and one was seen, a round is never judged before its refusals arrive."""
    driven = at_level(40)
    driven.now += delay
    driven.refuse(driven.tickets[0])
    driven.succeed(10)
    driven.wait(2)
    driven.start()
    driven.work(64)
    probes = [ticket for ticket in driven.start() if ticket.probe]
    driven.wait(delay)
    level = driven.limiter.level
    driven.refuse(*probes)
    driven.wait(1.1)
    assert driven.limiter.level < level


def test_1305_takes_only_probes_out_of_a_round() -> None:
    """Of a round of 40, ten probes that met 1305 do not count, and ten other calls that met it change nothing."""
    driven = at_level(40)
    driven.start()
    driven.now += 0.01
    driven.succeed(20)
    driven.refuse(*[ticket for ticket in driven.tickets if ticket.probe][:10], code="1305")
    driven.refuse(*[ticket for ticket in driven.tickets if not ticket.probe][:10], code="1305")
    driven.wait(SETTLE)
    assert driven.limiter.level == 40 + 30


def test_a_round_of_which_nothing_is_left_changes_nothing() -> None:
    """A round whose every probe met 1305 or was cancelled raises neither the level nor the size of the next round."""
    for cancelled in (0, 1, 2):
        driven = at_level(4)
        driven.limiter._step = 2
        probes = driven.start()
        driven.cancel(*probes[:cancelled])
        driven.refuse(*probes[cancelled:], code="1305")
        driven.wait(SETTLE)
        assert driven.limiter.level == 4
        driven.wait(0.25)
        assert len(driven.start()) == 2


def test_overload_at_ten_percent_costs_no_goodput() -> None:
    """With 1305 for every tenth call at a limit of 200, goodput stays above 0.9 of the undisturbed ideal."""
    assert overload(LIMITER, 1, 0.1, 200, "const")[0] > 0.9


def test_the_brake_is_not_touched_by_a_burst_of_a_whole_level() -> None:
    """200 calls at once of which half meet 1305 one after the other do not look like an outage."""
    driven = at_level(200)
    driven.refuse(*driven.tickets[::2], code="1305")
    assert not driven.limiter.braked


def test_time_under_the_brake_is_not_idle() -> None:
    """After a minute of nothing but 1305 the level is what it was before."""
    driven = at_level(200)
    driven.succeed(200)
    while driven.now < 160:
        overloaded(driven, 1.0, 10)
    overloaded(driven, 0.0, 100)
    assert not driven.limiter.braked
    assert driven.limiter.level == 200


def fan_out_after(light: Callable[[World, Client], None], limit: Callable[[float], float], begin: float) -> Client:
    """A client that does ``light`` work until ``begin`` and then has work without end."""
    world = World(3)
    client = Client(Service(world, limit), LIMITER(0, 3), queued=0)
    light(world, client)

    def flood() -> None:
        client.queued = math.inf
        client.dispatch()

    world.at(begin, flood)
    world.run(begin + 5)
    return client


def test_light_work_does_not_raise_the_level() -> None:
    """After a minute of a few calls a second a fan-out has not one refusal in its first second."""
    client = fan_out_after(lambda world, client: world.at(0, client.arrive, 4.0), lambda now: 40, 60)
    assert len(client.done) > 500
    assert within(client.refused, 0, 61) == 0


@pytest.mark.parametrize(("after", "refused", "goodput"), [(50, 100, 0.0), (200, 80, 0.6)])
def test_an_idle_limiter_forgets_but_not_everything(after: int, refused: int, goodput: float) -> None:
    """70 s after full use of 200 slots two seconds of work see few refusals, and much work where the limit stayed."""

    def light(world: World, client: Client) -> None:
        client.queued = 20_000

    client = fan_out_after(light, lambda now: 200 if now < 60 else after, 97)
    idle = 97 - max(time for time in client.done if time < 97)
    assert 60 < idle < 80
    assert within(client.refused, 97, 99) <= refused
    assert rates([client], 97.2, 99.2, after)[0] >= goodput  # the first answer takes 0.2 s


def test_a_refused_call_holds_no_slot_until_it_is_sent_again() -> None:
    """The moment a call is refused its slot is free for another, and its repeat asks like any call."""
    driven = Driven(fixed=2)
    first, _ = driven.start()
    driven.refuse(first)
    assert driven.limiter.in_flight == 1
    assert len(driven.start()) == 1
    assert not driven.may()


def test_repeats_do_not_jump_the_queue_of_interactive_calls() -> None:
    """In a fan-out that is refused again and again nine of ten interactive calls wait less than a call takes."""
    world = World(4)
    client = Client(Service(world, lambda now: 40 if now % 10 < 5 else 20), LIMITER(0, 4))
    client.arrive(5.0)
    world.run(60)
    waits = sorted(wait for wait, _ in client.waited)
    assert len(client.refused) > 100
    assert waits[int(0.9 * len(waits))] < 0.2


def test_no_call_needs_many_attempts() -> None:
    """Of 10,000 calls none is refused more than three times, so a few attempts and a deadline are enough."""
    assert cold(LIMITER, 2, 40, "const")[3] <= 3


def test_waking_is_no_busy_loop() -> None:
    """In a whole run the limiter is asked at times that it named itself less than once in ten calls."""

    class Counting(Limiter):
        named, woken = {-1.0}, 0

        def wake_at(self, now: float) -> float | None:
            self.woken += now in self.named
            wake = super().wake_at(now)
            self.named.add(wake or -1.0)
            return wake

    world, limiter = World(5), Counting(random.Random(5).random)
    client = Client(Service(world, lambda now: 40), limiter)
    world.run(30)
    assert 0 < limiter.woken < len(client.sent) / 10


def test_wake_at_names_a_time_at_which_something_changes() -> None:
    """Asked at exactly the time it named, for clocks of any size, wake_at names no later end of the same round."""
    for now in (0.1, 1e3 / 3, 1e6 / 3, 1e9 / 3):
        driven = at_level(4)
        driven.now = now
        driven.limiter._next_round = now
        driven.start()
        wake = driven.limiter.wake_at(now)
        assert wake is not None
        driven.now = wake
        driven.limiter.wake_at(wake)
        assert driven.limiter.level == 8


def test_streams_hold_their_slot_and_nothing_starts_above_the_level() -> None:
    """With 400 open streams and a level cut far below that, nothing starts and only an answer can help."""
    driven = at_level(400)
    driven.now += 0.05
    driven.refuse(driven.tickets[0])
    driven.wait(60)
    assert driven.limiter.level == 380
    assert driven.limiter.in_flight == 399
    assert not driven.may()
    assert driven.limiter.wake_at(driven.now) is None
    driven.succeed(20)
    assert len(driven.start()) == 1


def test_a_stream_that_has_begun_pays_for_nothing_before_it_ends() -> None:
    """An hour of open streams brings no new round after a refused one; 64 that end do."""
    driven = at_level(100)
    driven.refused_round(1)
    driven.wait(3600)
    assert not driven.may()
    driven.succeed(len(driven.tickets) - driven.limiter.level)
    driven.work(64)
    assert [ticket.probe for ticket in driven.start()] == [True]


def test_a_cancelled_probe_leaves_its_round() -> None:
    """Four probes of which one is cancelled raise the level by three; a cancelled normal call changes nothing."""
    driven = at_level(4)
    probes = driven.start()
    driven.cancel(probes[0], driven.tickets[0])
    assert driven.limiter.in_flight == 6
    driven.wait(SETTLE)
    assert driven.limiter.level == 7


def test_a_cancelled_call_pays_for_nothing_and_frees_its_slot() -> None:
    """Neither cancelled calls nor other failures are the successes that a refusal owes, but both free their slots."""
    driven = at_level(40)
    driven.refused_round()
    for _ in range(100):
        driven.cancel(driven.tickets[-1])
        driven.start(1)
        driven.limiter.on_other(driven.now, driven.tickets.pop())
        driven.start(1)
    driven.wait(10)
    driven.start(driven.limiter.level - driven.limiter.in_flight)
    assert not driven.may()
    driven.work(63)
    assert not driven.may()
    driven.work(1)
    assert driven.may()


def test_a_late_answer_to_a_probe_of_an_old_round_does_not_touch_the_new_one() -> None:
    """A probe that is cancelled after its round was judged is not taken out of the round that is open then."""
    driven = at_level(4)
    old = driven.start()
    driven.wait(SETTLE)
    driven.wait(0.25)
    assert len(driven.start()) == 8
    driven.cancel(*old)
    driven.wait(SETTLE)
    assert driven.limiter.level == 16


def adopt(driven: Driven, running: int) -> list[Ticket]:
    """So many calls that did not ask count from now on."""
    number = driven.limiter.adopt(driven.now, running)
    tickets = [Ticket(driven.now, number, True)] * running
    driven.tickets += tickets
    return tickets


@pytest.mark.parametrize(
    ("running", "refused", "level"),
    [(500, 460, 38), (31, 1, 29), (2, 1, 1), (1, 1, 1), (100, 100, 1)],
)
def test_calls_that_did_not_ask_are_a_round(running: int, refused: int, level: int) -> None:
    """Of calls in flight when the first refusal comes, those that are not refused make the level, less 5 percent."""
    driven = Driven()
    tickets = adopt(driven, running)
    assert driven.limiter.in_flight == running
    assert running < 4 or not driven.may(), "until the verdict nobody knows"
    driven.refuse(*tickets[:refused])
    driven.wait(driven.limiter.settle)
    assert driven.limiter.level == level
    assert driven.limiter.in_flight == running - refused


def test_adopted_calls_join_an_open_round() -> None:
    """What is refused while a round is open counts for it, whichever call it was, and the others were admitted."""
    driven = at_level(16)
    probes = driven.start()
    assert len(probes) == 16
    adopted = adopt(driven, 10)
    driven.refuse(*probes[:4], *adopted[:1])
    driven.wait(driven.limiter.settle)
    assert driven.limiter.level == 35  # 16 + 26 - 5 = 37, and 5 percent back
    assert driven.limiter.in_flight == 37


def test_another_failure_proves_admission() -> None:
    """Probes answered with 400 or 500 count as admitted."""
    driven = at_level(4)
    for ticket in driven.start():
        driven.tickets.remove(ticket)
        driven.limiter.on_other(driven.now, ticket)
    driven.wait(SETTLE)
    assert driven.limiter.level == 8


# ---------------------------------------------------------------- properties

OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "begin": st.integers(1, 20),
        "ceiling": st.integers(1, 30),
        "linger": st.booleans(),
        "reserve": st.sampled_from([0.0, 0.1, 0.5, 0.9]),
    },
)
Steps = list[tuple[str, int]]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["start", "interactive", "success", "other", "cancel", "1302", "1305", "wait", "wake"]),
        st.integers(0, 40),
    ),
    max_size=120,
)


def driven_through(steps: Steps, options: dict[str, Any], seed: int, after: Callable[[Driven], None]) -> Driven:
    """Any history: starts that are allowed, ends of any call, waits; ``after`` looks at it after each step."""
    driven = Driven(random.Random(seed).random, **options)
    for step, number in steps:
        if step == "start":
            driven.start(number)
        elif step == "interactive":
            if driven.may(interactive=True, background_waiting=number % 2 == 0):
                driven.tickets.append(driven.limiter.on_start(driven.now, interactive=True))
        elif step == "wait":
            driven.now += (number / 20) ** 4
        elif step == "wake":
            driven.now = driven.limiter.wake_at(driven.now) or driven.now
        elif driven.tickets:
            ticket = driven.tickets[number % len(driven.tickets)]
            if step == "cancel":
                driven.cancel(ticket)
            elif step in {"1302", "1305"}:
                driven.refuse(ticket, code=step)
            else:
                driven.tickets.remove(ticket)
                ended = driven.limiter.on_success if step == "success" else driven.limiter.on_other
                ended(driven.now, ticket)
        after(driven)
    return driven


@given(STEPS, OPTIONS, st.integers(0, 9))
@examples(300)
def test_counts_are_right_and_bounds_hold(steps: Steps, options: dict[str, Any], seed: int) -> None:
    """In flight is what was started and not handed back; the level is at least 1 and neither passes the ceiling."""

    def look(driven: Driven) -> None:
        limiter, most = driven.limiter, options.get("ceiling", math.inf)
        assert limiter.in_flight == len(driven.tickets) >= 0
        assert 1 <= limiter.level <= most
        assert limiter.in_flight <= most
        assert limiter.limit is None or limiter.limit > 1 or limiter.level == 1

    driven_through(steps, options, seed, look)


@given(STEPS, OPTIONS, st.integers(0, 9))
@examples(300)
def test_waking_ends_and_never_leaves_work_behind(steps: Steps, options: dict[str, Any], seed: int) -> None:
    """From any state a few wakes, each later than the last, lead to a start or to waiting for a call in flight."""

    def look(driven: Driven) -> None:
        for _ in range(3 + len(driven.limiter._resting)):
            if driven.may():
                return
            wake = driven.limiter.wake_at(driven.now)
            if wake is None:
                assert driven.tickets
                return
            assert wake > driven.now
            driven.now = wake
        assert driven.may()

    driven_through(steps, options, seed, look)


@given(STEPS, OPTIONS, st.integers(0, 9), st.integers(0, 60))
@examples(200)
def test_cancelled_probes_leave_no_trace(steps: Steps, options: dict[str, Any], seed: int, most: int) -> None:
    """After any history, a round whose probes are all cancelled leaves the level and the next round's size alone."""
    driven = driven_through(steps, options, seed, lambda driven: None)
    driven.wait(2)
    before = driven.limiter.level, driven.limiter._step, driven.limiter.limit
    driven.start(driven.limiter.level - driven.limiter.in_flight)
    if driven.limiter.level == before[0]:  # else it was idle
        driven.cancel(*[ticket for ticket in driven.start(most) if ticket.probe])
        driven.wait(2)
        assert (driven.limiter.level, driven.limiter._step, driven.limiter.limit) == before


@given(STEPS, st.integers(1, 20), st.sampled_from([0.0, 0.2]))
@examples(200)
def test_a_fixed_limiter_never_changes(steps: Steps, fixed: int, reserve: float) -> None:
    """Whatever is answered, its level stays, it has no brake, and a call may start exactly while slots are free."""

    def look(driven: Driven) -> None:
        limiter = driven.limiter
        assert (limiter.level, limiter.limit, limiter.braked) == (fixed, None, False)
        assert driven.may(interactive=True) is (limiter.in_flight < fixed)
        assert limiter.wake_at(driven.now) is None

    driven_through(steps, {"fixed": fixed, "reserve": reserve}, 0, look)


@given(STEPS, st.integers(0, 9))
@examples(50)
def test_the_same_history_and_the_same_draws_give_the_same_decisions(steps: Steps, seed: int) -> None:
    """There is no clock and no randomness but what the caller gives."""
    seen: list[list[tuple[int, int, float | None]]] = []
    for _ in range(2):
        seen.append([])
        driven_through(
            steps,
            {},
            seed,
            lambda driven: seen[-1].append(
                (driven.limiter.level, driven.limiter.in_flight, driven.limiter.wake_at(driven.now))
            ),
        )
    assert seen[0] == seen[1]


# ---------------------------------------------------------------- promises, in the simulation

SEEDS = range(3)


@pytest.mark.parametrize(
    ("column", "limit", "goodput", "refused"),
    [
        ("fixed L/2", 40, 0.50, 0.0), ("fixed L", 40, 1.00, 0.0), ("fixed 2L", 40, 1.22, 0.78),
        ("fixed L", 200, 1.0, 0.0), ("AIMD 0.9", 8, 1.00, 0.11), ("AIMD 0.9", 40, 0.98, 0.006),
    ],
)  # fmt: skip
def test_the_simulation_shows_semaphores_and_aimd_as_known(
    column: str, limit: int, goodput: float, refused: float
) -> None:
    """What the other policies reach with calls of 0.2 s, so that the promises below mean what they say."""
    found = steady(COLUMNS[column], 0, limit, "const")
    assert found == pytest.approx((goodput, refused), abs=0.02)


@pytest.mark.parametrize("kind", ["const", "logn"])
@pytest.mark.parametrize("limit", [8, 40, 200])
def test_steady_goodput_is_93_percent_of_the_ideal_with_under_2_percent_refused(limit: int, kind: str) -> None:
    """Alone, with work always waiting: goodput on average over seeds and hardly less for any, refusals for each."""
    found = [steady(LIMITER, seed, limit, kind) for seed in SEEDS]
    assert max(refused for _, refused in found) < 0.02
    assert fmean(goodput for goodput, _ in found) >= 0.93
    assert min(goodput for goodput, _ in found) >= (0.93 if kind == "const" or limit >= 40 else 0.9)


@pytest.mark.parametrize("before", [8, 40, 200])
def test_a_doubled_limit_is_found_within_5_seconds(before: int) -> None:
    """With calls of 0.2 s, 90 % of the new limit is in use 5 s after it doubled, for each seed."""
    assert max(change(LIMITER, seed, before, 2 * before, "const")[0] for seed in SEEDS) <= 5


@pytest.mark.parametrize("kind", ["const", "logn"])
@pytest.mark.parametrize("before", [16, 80, 400])
def test_a_halved_limit_costs_at_most_as_many_refusals_as_the_old_level(before: int, kind: str) -> None:
    """In the 5 s after it, on average over seeds; and the new limit's ideal is met at once."""
    found = [change(LIMITER, seed, before, before // 2, kind) for seed in SEEDS]
    assert fmean(refused for *_, refused in found) <= before
    if kind == "const":
        assert min(goodput for _, _, goodput, _ in found) >= 0.9


@pytest.mark.parametrize(("limit", "time"), [(8, 1.1), (40, 1.1), (200, 1.3)])
def test_a_cold_run_of_10_000_calls_is_near_the_ideal(limit: int, time: float) -> None:
    """It takes little longer than with a known limit, and less than 2 % are refused."""
    for seed in SEEDS[:2]:
        took, refused, _, _ = cold(LIMITER, seed, limit, "const")
        assert took <= time
        assert refused < 0.02


def test_a_fan_out_begins_faster_at_16() -> None:
    """With ``begin=16``, 200 slots are in use about a second earlier."""
    slow, fast = (cold(COLUMNS[column], 0, 200, "const", 3000)[2] for column in ("limiter", "begin 16"))
    assert fast == pytest.approx(slow - 1.0, abs=0.3)


@pytest.mark.parametrize("limit", [40, 200])
def test_in_an_outage_calls_are_spaced_and_full_speed_is_back_soon(limit: int) -> None:
    """At 95 % of 1305 at most 40 calls a second are sent, and 1 to 6 s after it goodput is above 0.6 of the ideal."""
    for seed in SEEDS[:2]:
        _, sent, after = overload(LIMITER, seed, 0.95, limit, "const")
        assert sent < 40
        assert after > 0.6


@pytest.mark.parametrize("limit", [40, 200])
def test_below_the_brake_overload_costs_no_goodput(limit: int) -> None:
    """At 50 % of 1305 goodput stays above 0.9 of the undisturbed ideal."""
    assert overload(LIMITER, 0, 0.5, limit, "const")[0] > 0.9


def test_four_processes_with_50_slots_each_share_within_30_percent() -> None:
    """In the second half of a minute, on average over seeds; they fill the limit, and few calls are refused."""
    runs = [several(LIMITER, seed, 4, 200, "const", 60) for seed in SEEDS]
    least, most, goodput, refused = (fmean(column) for column in zip(*runs, strict=True))
    assert 0.7 <= least <= most <= 1.3
    assert goodput >= 0.93
    assert refused < 0.02


@pytest.mark.parametrize("limit", [8, 40])
def test_interactive_calls_beside_a_fan_out_take_at_most_twice_as_long(limit: int) -> None:
    """The 99th percentile of their latency at 0.2 s a call, against having the service alone, on average over seeds."""
    runs = [interactive(LIMITER, seed, limit, "const") for seed in SEEDS]
    assert fmean(busy / alone for _, _, alone, busy, _ in runs) <= 2


def test_lingering_repairs_long_calls_where_slots_are_freed_late() -> None:
    """With a release lag of up to 100 ms at 8 slots, long calls get 5 % more goodput with it and fewer refusals."""
    for seed in SEEDS[:2]:
        plain, lingering = (steady(COLUMNS[column], seed, 8, "logn", 0.1) for column in ("limiter", "lingering"))
        assert lingering[0] > 1.05 * plain[0]
        assert lingering[1] < plain[1]
