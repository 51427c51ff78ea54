"""How much of whom is let in: unverified requests by their source, verified webhooks by their channel.

A body must be read before its signature can be checked, so whoever is turned away by his address alone takes those with
him who share it: a shop behind the same egress (Shopify sends for all its shops from the same addresses), a colleague
behind the same router. So a source that is over its limit is not turned away before its body is read, except where
reading would be what it is after: a body that is large. An order is far below that; what needs no body to be refused
(an unknown channel, no signature at all) is refused without one, whoever sends it.
"""

import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from rappit_common.errors import TooManyRequestsError
from rappit_common.leases import LeasedLimit
from rappit_common.limits import Decision

from rappit_gateway.domain.channels import KnownChannel

SUSPECT_BODY_BYTES = 256 * 1024
MAX_SUSPECTS = 10_000


class QuotaExceededError(TooManyRequestsError):
    """The channel sends more than its quota."""

    code = "quota_exceeded"


@dataclass(frozen=True, slots=True)
class Quotas:
    """How much is let in.

    Attributes:
        count_unverified: Counts one refused request of a source and decides whether it may go on asking.
        unverified_per_minute: What that allows, to be named to the caller.
        verified: Counts a channel's verified webhooks.
        verified_per_minute: Of a channel that has no quota of its own.
    """

    count_unverified: Callable[[str], Awaitable[Decision]]
    unverified_per_minute: int
    verified: LeasedLimit
    verified_per_minute: int


class Admission:
    """Decides who may go on.

    Args:
        quotas: How much is let in.
        monotonic: In seconds.
    """

    def __init__(self, quotas: Quotas, monotonic: Callable[[], float]) -> None:
        self._quotas = quotas
        self._monotonic = monotonic
        self._suspects: OrderedDict[str, float] = OrderedDict()

    def body_limit(self, source: str, usual_bytes: int) -> int:
        """Return how large a body of this source is read."""
        return usual_bytes if self._suspected_for_s(source) is None else min(usual_bytes, SUSPECT_BODY_BYTES)

    async def count_unverified(self, source: str) -> None:
        """Count a request that nobody vouches for.

        Raises:
            TooManyRequestsError: The source has sent too many.
        """
        retry_after_s = self._suspected_for_s(source)
        if retry_after_s is not None:
            raise self._too_many(retry_after_s)
        decision = await self._quotas.count_unverified(source)
        if decision.allowed:
            return
        self._suspects[source] = self._monotonic() + decision.retry_after_s
        if len(self._suspects) > MAX_SUSPECTS:
            self._suspects.popitem(last=False)
        raise self._too_many(decision.retry_after_s)

    async def count_verified(self, channel: KnownChannel) -> None:
        """Count a channel's webhook.

        Raises:
            QuotaExceededError: The channel has sent too many.
        """
        per_minute = channel.quota_per_minute or self._quotas.verified_per_minute
        decision = await self._quotas.verified.hit(str(channel.channel_id), per_minute=per_minute)
        if not decision.allowed:
            raise QuotaExceededError(
                f"This channel sends more than its quota of {per_minute} webhooks a minute: send it again later, or"
                " raise the channel's `quota_per_minute`.",
                per_minute=per_minute,
                retry_after_s=decision.retry_after_s,
            )

    def too_many(self, source: str) -> TooManyRequestsError:
        """Return the refusal of a source that is over its limit."""
        return self._too_many(self._suspected_for_s(source) or 1)

    def _too_many(self, retry_after_s: float) -> TooManyRequestsError:
        return TooManyRequestsError(
            f"More than {self._quotas.unverified_per_minute} webhooks a minute from this address could not be"
            " verified.",
            retry_after_s=max(1, math.ceil(retry_after_s)),
        )

    def _suspected_for_s(self, source: str) -> float | None:
        until_s = self._suspects.get(source)
        if until_s is None:
            return None
        left_s = until_s - self._monotonic()
        if left_s > 0:
            return left_s
        del self._suspects[source]
        return None
