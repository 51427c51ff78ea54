"""Ends holds whose time is over, in the background: any number of processes at once, each step one transaction."""

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from rappit_common.logs import get_logger
from rappit_common.periodic import Periodic, in_batches
from rappit_common.unit_of_work import UnitsOfWork

from rappit_inventory.repository.holds import organizations_due, purge_ended
from rappit_inventory.service.hold import expire_holds
from rappit_inventory.unit import InventoryUnit

HOLDS_A_STEP = 50
LOOKED_AT = 1_000
PURGE_EVERY_S = 600.0
PURGED_HOLDS = 1_000
PUT_OFF = timedelta(minutes=1)

_log = get_logger()


class HoldExpiry(Periodic):
    """Makes what expired holds kept free, and has orders that wait for it served.

    Args:
        units: Opens transactions.
        now: The current time.
        poll_s: How often to look when nothing was due; a hold may outlive its time by as much.
    """

    def __init__(self, units: UnitsOfWork[InventoryUnit], *, now: Callable[[], datetime], poll_s: float) -> None:
        super().__init__("hold-expiry", every_s=poll_s)
        self._units = units
        self._now = now
        # Whose holds could not be ended, until when: however many they are, they hide nobody else's.
        self._put_off: dict[UUID, datetime] = {}

    async def act(self) -> None:
        """End all that is due."""
        while await self.expire():
            pass

    async def expire(self) -> int:
        """End a step of each organization's due holds. Returns how many ended."""
        now = self._now()
        self._put_off = {key: until for key, until in self._put_off.items() if until > now}
        async with self._units.bypass_tenancy("whose holds are due") as unit:
            due = await organizations_due(unit.session, now, limit=LOOKED_AT, but=self._put_off)
        ended = 0
        for organization_id in due:
            try:
                async with self._units.begin(organization_id) as unit:
                    ended += await expire_holds(unit, limit=HOLDS_A_STEP, now=now)
            except Exception as error:  # noqa: BLE001 - one organization's trouble must not keep the others' stock
                self._put_off[organization_id] = now + PUT_OFF
                _log.warning("hold_expiry_failed", organization_id=str(organization_id), error=repr(error))
        if ended:
            _log.info("holds_expired", holds=ended)
        return ended


class HoldPurge(Periodic):
    """Forgets holds some time after they ended; the ledger keeps what they moved.

    Args:
        units: Opens transactions.
        now: The current time.
        keep: How long after its end a hold can still be looked at.
    """

    def __init__(self, units: UnitsOfWork[InventoryUnit], *, now: Callable[[], datetime], keep: timedelta) -> None:
        super().__init__("hold-purge", every_s=PURGE_EVERY_S)
        self._units = units
        self._now = now
        self._keep = keep

    async def act(self) -> None:
        """Remove all that ended long enough ago."""
        await in_batches(self.purge, PURGED_HOLDS)

    async def purge(self) -> int:
        """Remove one batch. Returns how many holds went."""
        async with self._units.bypass_tenancy("retention of holds") as unit:
            return await purge_ended(unit.session, self._now() - self._keep, limit=PURGED_HOLDS)
