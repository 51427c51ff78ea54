"""Compare levels with the ledger and with what orders hold, and put right what drifted."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from rappit_common.clock import new_id
from rappit_common.tracing import current_trace_id

from rappit_inventory.domain.stock import MovementKind, Shelves, Source
from rappit_inventory.repository.ledger import Drift, Quantities
from rappit_inventory.service.announcements import announce_stock
from rappit_inventory.service.lookup import find_skus
from rappit_inventory.unit import InventoryUnit

MAX_DRIFTS = 1_000


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found.

    ``unrepairable`` are drifts whose expected counts cannot all be true (more promised than there is): a shelf must be
    counted. ``found`` counts all drifts, of which at most 1,000 are named.
    """

    levels: int
    found: int
    drifts: list[Drift]
    repaired: int = 0
    unrepairable: list[Drift] = field(default_factory=list[Drift])


async def verify_stock(
    unit: InventoryUnit, sku_codes: Iterable[str] | None, *, repair: bool, actor: str, reason: str, now: datetime
) -> Verification:
    """Find the levels that are not what their ledger and their orders say; if asked to, make them so.

    Finding takes no lock, since one statement sees one moment. Only what drifted is then looked at again, alone with
    the organization's stock, and put right; the ledger says by whom.

    Raises:
        UnknownSkuError: One of the SKUs is not there.
    """
    sku_ids = None if sku_codes is None else list((await find_skus(unit, sku_codes)).values())
    drifts, found = await unit.ledger.drift(sku_ids, limit=MAX_DRIFTS)
    levels = await unit.ledger.level_count(sku_ids)
    if not repair or not drifts:
        return Verification(levels, found, drifts)
    await unit.locks.extend_catalogue()
    shelves = await unit.levels.lock(drift.sku_id for drift in drifts)
    drifts, _ = await unit.ledger.drift({drift.sku_id for drift in drifts}, limit=MAX_DRIFTS)
    source = Source("verification", new_id(), actor, current_trace_id(), reason, "repair")
    mended = [drift for drift in drifts if _is_possible(drift.expected)]
    for drift in mended:
        _mend(drift, shelves, source)
    await unit.levels.save(shelves, now)
    await announce_stock(unit, shelves, now=now)
    return Verification(levels, found, drifts, len(mended), [drift for drift in drifts if drift not in mended])


def _is_possible(expected: Quantities) -> bool:
    parts = (expected.reserved, expected.damaged, expected.quarantined)
    return min(parts) >= 0 and expected.total >= sum(parts)


def _mend(drift: Drift, shelves: Shelves, source: Source) -> None:
    found, expected = drift.found, drift.expected
    shelves.move(
        drift.sku_id,
        drift.warehouse_id,
        MovementKind.REPAIR,
        source,
        total=expected.total - found.total,
        reserved=expected.reserved - found.reserved,
        damaged=expected.damaged - found.damaged,
        quarantined=expected.quarantined - found.quarantined,
    )
