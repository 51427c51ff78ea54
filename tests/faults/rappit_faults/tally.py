"""What a run counts, for its report."""

from collections import Counter
from dataclasses import dataclass, field

from rappit_faults.checks.offence import Offence


@dataclass(frozen=True, slots=True)
class Recovery:
    """How long the stack took to be whole again after something broke."""

    what: str
    seconds: float


@dataclass(slots=True)
class Tally:
    """One round's, or all rounds' together.

    Attributes:
        seed: Replays the round.
        counts: Webhooks, answers, labels and the like.
        deaths: By process and by kill point.
        outages: By server or link.
        recoveries: From the end of each outage or death to a whole stack.
        reservation_s: From a webhook's 2xx to the first unit reserved for its order, by the order.
        drain_s: From the last fault's end until everything held.
        max_lag_s: The longest that an outbox row was seen to wait.
        moments: How often the stock was looked at while things broke.
        offences: What did not hold at the end, or at any of those moments.
    """

    seed: int
    plan: list[str] = field(default_factory=list[str])
    counts: Counter[str] = field(default_factory=Counter[str])
    deaths: Counter[str] = field(default_factory=Counter[str])
    outages: Counter[str] = field(default_factory=Counter[str])
    recoveries: list[Recovery] = field(default_factory=list[Recovery])
    reservation_s: list[float] = field(default_factory=list[float])
    drain_s: list[float] = field(default_factory=list[float])
    max_lag_s: float = 0.0
    moments: int = 0
    offences: list[Offence] = field(default_factory=list[Offence])

    def add(self, other: "Tally") -> None:
        """Take another round's in."""
        self.plan += other.plan
        self.counts += other.counts
        self.deaths += other.deaths
        self.outages += other.outages
        self.recoveries += other.recoveries
        self.reservation_s += other.reservation_s
        self.drain_s += other.drain_s
        self.max_lag_s = max(self.max_lag_s, other.max_lag_s)
        self.moments += other.moments
        self.offences += other.offences

    def broken(self, promise: str) -> int:
        """Return how many offences there are against one promise."""
        return sum(offence.promise == promise for offence in self.offences)


def percentile(values: list[float], part: float) -> float:
    """Return the value below which ``part`` of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]
