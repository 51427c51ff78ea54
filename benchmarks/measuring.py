"""How a row is measured: limit and ourselves by turns, several times, as the median of the ratios.

The machine is small and noisy, and so are absolute figures; a ratio of two neighbouring measurements holds.
"""

import statistics
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol, Self


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    Attributes:
        rounds: Pairs of measurements.
        seconds: Of each measurement.
        warm_up_s: Before the first.
        file_rows: Rows of each file of a row that measures one whole piece of work.
    """

    rounds: int
    seconds: float
    warm_up_s: float
    file_rows: int


QUICK = Effort(rounds=3, seconds=3.0, warm_up_s=1.0, file_rows=100_000)
FULL = Effort(rounds=7, seconds=8.0, warm_up_s=3.0, file_rows=1_000_000)


class Row(Protocol):
    """One thing that is measured, as an asynchronous context that prepares it and cleans up."""

    title: str
    limit_title: str
    goal: float | None

    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *exc: object) -> None: ...
    async def limit(self, seconds: float) -> float:
        """Return the limit's rate, per second."""
        ...

    async def measured(self, seconds: float) -> float:
        """Return our own rate, per second."""
        ...


class TimedRow(Protocol):
    """One piece of work that is done whole and timed: less is better."""

    title: str
    limit_title: str
    goal: float

    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *exc: object) -> None: ...
    async def limit_s(self) -> float:
        """Return how long the limit takes, in seconds."""
        ...

    async def measured_s(self) -> float:
        """Return how long we take, in seconds."""
        ...


@dataclass
class Outcome:
    """What came of a row."""

    title: str
    goal: str
    figure: str
    is_met: bool | None
    details: list[str] = field(default_factory=list)


def skipped(title: str, goal: float, reason: str, *, sign: str = ">=") -> Outcome:
    return Outcome(title, f"{sign} {goal:g}", "skipped", None, [reason])


async def compare(row: Row, effort: Effort, say: Callable[[str], None]) -> tuple[Outcome, float]:
    """Measure a row. Returns its outcome and our own median rate, per second."""
    await row.limit(effort.warm_up_s)
    await row.measured(effort.warm_up_s)
    limits: list[float] = []
    ours: list[float] = []
    for number in range(effort.rounds):
        # By turns also in their order, so that neither always finds the machine as the other left it.
        steps: list[tuple[list[float], Callable[[float], Awaitable[float]]]] = [
            (limits, row.limit),
            (ours, row.measured),
        ]
        for rates, measure in steps if number % 2 == 0 else reversed(steps):
            rates.append(await measure(effort.seconds))
        say(f"  round {number + 1}/{effort.rounds}: limit {limits[-1]:,.0f}/s, ours {ours[-1]:,.0f}/s")
    ratios = [our / limit for our, limit in zip(ours, limits, strict=True)]
    ratio = statistics.median(ratios)
    details = [
        f"limit: {row.limit_title}: {statistics.median(limits):,.0f}/s",
        f"ours: {statistics.median(ours):,.0f}/s; ratios from {min(ratios):.2f} to {max(ratios):.2f}",
    ]
    goal = "none" if row.goal is None else f">= {row.goal:g}"
    outcome = Outcome(row.title, goal, f"{ratio:.2f}", None if row.goal is None else ratio >= row.goal, details)
    return outcome, statistics.median(ours)


async def compare_times(row: TimedRow, effort: Effort, say: Callable[[str], None]) -> Outcome:
    """Measure a row whose work is done whole: how many times as long as the limit we take."""
    await row.limit_s()
    await row.measured_s()
    limits: list[float] = []
    ours: list[float] = []
    for number in range(effort.rounds):
        steps: list[tuple[list[float], Callable[[], Awaitable[float]]]] = [
            (limits, row.limit_s),
            (ours, row.measured_s),
        ]
        for times, measure in steps if number % 2 == 0 else reversed(steps):
            times.append(await measure())
        say(f"  round {number + 1}/{effort.rounds}: limit {limits[-1]:.2f} s, ours {ours[-1]:.2f} s")
    ratios = [our / limit for our, limit in zip(ours, limits, strict=True)]
    ratio = statistics.median(ratios)
    details = [
        f"limit: {row.limit_title}: {statistics.median(limits):.2f} s",
        f"ours: {statistics.median(ours):.2f} s; ratios from {min(ratios):.2f} to {max(ratios):.2f}",
    ]
    return Outcome(row.title, f"<= {row.goal:g}", f"{ratio:.2f}", ratio <= row.goal, details)


def percentile(values: list[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]
