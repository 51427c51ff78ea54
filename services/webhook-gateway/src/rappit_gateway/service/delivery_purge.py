"""Keeps the delivery log to its time, beside the relay."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from rappit_common.periodic import Periodic, in_batches
from rappit_common.unit_of_work import UnitsOfWork

from rappit_gateway.repository.delivery_retention import PURGE_ROWS, DeliveryRetention
from rappit_gateway.unit import GatewayUnit

PURGE_EVERY_S = 60.0


class DeliveryPurge(Periodic):
    """Removes what is older than the log keeps, every minute. Several at once do each other no harm.

    Args:
        units: Opens transactions.
        now: The current time.
        keep: Rows.
        keep_bodies: What they said; never longer than the rows.
    """

    def __init__(
        self, units: UnitsOfWork[GatewayUnit], *, now: Callable[[], datetime], keep: timedelta, keep_bodies: timedelta
    ) -> None:
        super().__init__("delivery-purge", every_s=PURGE_EVERY_S)
        self._units = units
        self._now = now
        self._keep = keep
        self._keep_bodies = min(keep, keep_bodies)

    async def act(self) -> None:
        """Purge until nothing is left to: a fixed number of rows a minute would fall behind a busy channel for ever."""
        now = self._now()
        await self._repeat(lambda retention: retention.purge_bodies(now - self._keep_bodies))
        await self._repeat(lambda retention: retention.purge_deliveries(now - self._keep))
        await self._repeat(lambda retention: retention.purge_rejected())

    async def _repeat(self, purge: Callable[[DeliveryRetention], Awaitable[int]]) -> None:
        async def purge_some() -> int:
            async with self._units.bypass_tenancy("retention of the delivery log") as unit:
                return await purge(DeliveryRetention(unit.session))

        await in_batches(purge_some, PURGE_ROWS)
