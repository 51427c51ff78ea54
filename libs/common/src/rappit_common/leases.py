"""Limits for paths that cannot afford a round trip a request: several requests are taken at once and spent from memory.

What a process takes of the shared limit it gives up after a second, spent or not. It takes one request at first, and
twice as many whenever it spent all it took in time, so a quiet key is counted exactly and a busy one costs Redis ten
round trips a second at most. Nothing is let through that the shared limit did not grant, except while Redis is away.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from rappit_common.limits import CAP_S, Decision, RateLimits

LEASE_S = 1.0
LEASES_A_MINUTE = 600
REFUSAL_S = 0.1
# Above the limiter's own cap, which therefore notices first that Redis hangs, and leaves it alone.
WAIT_S = 2 * CAP_S
MAX_KEYS = 10_000

_ALLOWED = Decision(allowed=True)


@dataclass(slots=True)
class _Lease:
    """What one key may still do here without asking.

    Attributes:
        left: Requests taken and not yet spent.
        size: Requests to take next time.
        until_s: When what is left is given up.
        refused: What the shared limit said last, if it refused; believed until ``until_s``.
        asking: Held by whoever asks the shared limit, so that the others wait for the same answer.
    """

    left: int = 0
    size: int = 1
    until_s: float = 0.0
    refused: Decision | None = None
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    def spend(self, now_s: float) -> Decision | None:
        """Return what is known without asking; None when nothing is."""
        if now_s >= self.until_s:
            return None
        if self.left > 0:
            self.left -= 1
            return _ALLOWED
        return self.refused


class LeasedLimit:
    """One limit, open while Redis is away, spent from memory.

    Args:
        limits: Where it is shared between processes.
        name: Of the limit.
        monotonic: In seconds.
    """

    def __init__(self, limits: RateLimits, name: str, *, monotonic: Callable[[], float]) -> None:
        self._limits = limits
        self._name = name
        self._monotonic = monotonic
        self._leases: OrderedDict[tuple[str, int], _Lease] = OrderedDict()

    async def hit(self, key: str, *, per_minute: int) -> Decision:
        """Count one request and decide about it, within 0.5 s."""
        lease = self._lease(key, per_minute)
        known = lease.spend(self._monotonic())
        if known is not None:
            return known
        try:
            # Around the wait for another's answer too: a slow Redis must not make a queue of those who wait.
            async with asyncio.timeout(WAIT_S), lease.asking:
                known = lease.spend(self._monotonic())
                return known or await self._take(lease, key, per_minute)
        except TimeoutError:
            return self._limits.undecided(self._name, fail_open=True)

    def _lease(self, key: str, per_minute: int) -> _Lease:
        # Another quota is another lease, so that a change counts at once.
        lease = self._leases.get((key, per_minute))
        if lease is None:
            lease = self._leases[key, per_minute] = _Lease()
            if len(self._leases) > MAX_KEYS:
                self._leases.popitem(last=False)
        else:
            self._leases.move_to_end((key, per_minute))
        return lease

    async def _take(self, lease: _Lease, key: str, per_minute: int) -> Decision:
        """Ask the shared limit, and spend one of what it grants."""
        spent_in_time = self._monotonic() < lease.until_s and lease.refused is None
        size = min(lease.size * 2, max(1, per_minute // LEASES_A_MINUTE)) if spent_in_time else 1
        decision = await self._ask(key, per_minute, size)
        if not decision.allowed and size > 1:
            # Near the end of the quota: nobody is turned away while there is one left.
            size = 1
            decision = await self._ask(key, per_minute, size)
        lease.size, lease.left, lease.refused = size, 0, None
        now_s = self._monotonic()
        if not decision.counted:
            # The limiter knows itself how long it leaves Redis alone.
            lease.until_s = now_s
        elif decision.allowed:
            lease.left, lease.until_s = size - 1, now_s + LEASE_S
        else:
            lease.refused, lease.until_s = decision, now_s + REFUSAL_S
        return decision

    async def _ask(self, key: str, per_minute: int, size: int) -> Decision:
        return await self._limits.hit(self._name, key=key, per_minute=per_minute, fail_open=True, requests=size)
