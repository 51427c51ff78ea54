"""What the flows share: the carriers, the secrets' box, the transactions, and how long to wait before looking."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

from rappit_common.clock import utc_now
from rappit_common.crypto import SecretBox
from rappit_common.database.engine import is_outage
from rappit_common.logs import get_logger
from rappit_common.unit_of_work import UnitsOfWork

from rappit_shipping.carriers.guarded import GuardedCarrier
from rappit_shipping.domain.carrier import OutcomeUnknown
from rappit_shipping.domain.shipments import OutcomeTimeoutError, OutcomeUnknownError, UnknownCarrierError
from rappit_shipping.unit import ShippingUnit

RECORD_ATTEMPTS = 6
FIRST_RECORD_WAIT_S = 0.2

ResultT = TypeVar("ResultT")

_log = get_logger()


@dataclass(frozen=True, slots=True)
class Patience:
    """How long things may take. Seconds.

    Attributes:
        stale_s: After which an intent of which nothing more was heard is looked up; longer than any call may take.
        look_delays_s: Before each look at an unknown outcome; after the last one a person decides.
        catch_up_s: How long a purchase waits for shipping to hear of an order that its caller knows already.
    """

    stale_s: float = 300
    look_delays_s: tuple[float, ...] = (15, 60, 300, 900, 3_600)
    catch_up_s: float = 2


@dataclass(frozen=True, slots=True)
class Desk:
    """Where labels are bought and given back."""

    units: UnitsOfWork[ShippingUnit]
    carriers: Mapping[str, GuardedCarrier]
    box: SecretBox
    patience: Patience
    now: Callable[[], datetime] = utc_now

    def carrier(self, code: str) -> GuardedCarrier:
        """Return a carrier.

        Raises:
            UnknownCarrierError: There is none of that code.
        """
        carrier = self.carriers.get(code)
        if carrier is None:
            raise UnknownCarrierError(f"There is no carrier {code!r}: use one of {', '.join(self.carriers)}.")
        return carrier

    def stale_at(self) -> datetime:
        """Return when an intent written now counts as stale."""
        return self.now() + timedelta(seconds=self.patience.stale_s)

    def next_look(self, looks: int) -> datetime | None:
        """Return when to look after so many looks, or None when that was the last."""
        delays = self.patience.look_delays_s
        return self.now() + timedelta(seconds=delays[looks]) if looks < len(delays) else None

    async def record(self, organization_id: UUID, write: Callable[[ShippingUnit], Awaitable[ResultT]]) -> ResultT:
        """Write down what a carrier did, in a transaction of its own, and bear a short absence of the database.

        Raises:
            Exception: The database stayed away; what was done is in the log, and the reconciler will look.
        """
        wait_s = FIRST_RECORD_WAIT_S
        for attempt in range(RECORD_ATTEMPTS):
            try:
                async with self.units.begin(organization_id) as unit:
                    return await write(unit)
            except Exception as error:
                if not is_outage(error) or attempt == RECORD_ATTEMPTS - 1:
                    raise
                _log.warning("record_delayed", attempt=attempt, error=str(error))
            await asyncio.sleep(wait_s)
            wait_s *= 2
        raise RuntimeError("unreachable: the last attempt returns or raises")


def unknown_outcome(failure: OutcomeUnknown, what: str, shipment_id: UUID, *, can_find: bool) -> OutcomeUnknownError:
    """Return the error that tells a merchant that an outcome is unknown, and what happens now."""
    after = (
        "Rappit looks it up at the carrier and will tell; do not ask for it again."
        if can_find
        else "The carrier cannot be asked; look at its portal and settle the shipment."
    )
    kind = OutcomeTimeoutError if failure.timed_out else OutcomeUnknownError
    return kind(f"{failure.detail} {what} {after}", shipment_id=str(shipment_id))
