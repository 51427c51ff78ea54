"""Keeps the delivery log to its time, beside the relay."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from rappit_common.logs import get_logger
from rappit_common.unit_of_work import UnitsOfWork

from rappit_gateway.repository.delivery_retention import PURGE_ROWS, DeliveryRetention
from rappit_gateway.unit import GatewayUnit

PURGE_EVERY_S = 60.0

_log = get_logger()


class DeliveryPurge:
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
        self._units = units
        self._now = now
        self._keep = keep
        self._keep_bodies = min(keep, keep_bodies)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to purge in the background."""
        self._task = asyncio.create_task(self._run(), name="delivery-purge")

    async def stop(self) -> None:
        """End; a statement under way is rolled back."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(PURGE_EVERY_S)
            try:
                await self.purge()
            except Exception as error:  # noqa: BLE001 - purging is tried again in a minute
                _log.warning("delivery_purge_failed", error=repr(error))

    async def purge(self) -> None:
        """Purge until nothing is left to: a fixed number of rows a minute would fall behind a busy channel for ever."""
        now = self._now()
        await self._repeat(lambda retention: retention.purge_bodies(now - self._keep_bodies))
        await self._repeat(lambda retention: retention.purge_deliveries(now - self._keep))
        await self._repeat(lambda retention: retention.purge_rejected())

    async def _repeat(self, purge: Callable[[DeliveryRetention], Awaitable[int]]) -> None:
        removed = PURGE_ROWS
        while removed == PURGE_ROWS:
            async with self._units.bypass_tenancy("retention of the delivery log") as unit:
                removed = await purge(DeliveryRetention(unit.session))
