"""Compare levels with the ledger and with what orders hold, and put right what drifted."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from rappit_common.clock import new_id
from rappit_common.tracing import current_trace_id

from rappit_inventory.domain.stock import MovementKind, Shelves, Source
from rappit_inventory.repository.ledger import Drift, Quantities, Stretch
from rappit_inventory.service.announcements import announce_stock
from rappit_inventory.service.lookup import find_skus
from rappit_inventory.unit import InventoryUnit

MAX_DRIFTS = 1_000
# About a second of reading; an organization with more is verified step by step.
LEVELS_A_STEP = 50_000
_BEGINNING = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found.

    ``unrepairable`` are drifts whose expected counts cannot all be true (more promised than there is): a shelf must be
    counted. ``found`` counts all drifts, of which at most 1,000 are named. ``next_after`` is where the next step
    begins, None when there is none.
    """

    levels: int
    found: int
    drifts: list[Drift]
    repaired: int = 0
    unrepairable: list[Drift] = field(default_factory=list[Drift])
    next_after: UUID | None = None


@dataclass(frozen=True, slots=True)
class Verify:
    """What is to be verified, and by whom: the SKUs that are named, or a step of all of them that begins at a place."""

    actor: str
    reason: str
    sku_codes: Sequence[str] | None = None
    after: UUID = _BEGINNING
    repair: bool = False


async def verify_stock(unit: InventoryUnit, asked: Verify, *, now: datetime) -> Verification:
    """Find the levels that are not what their ledger and their orders say; if asked to, make them so.

    Finding takes no lock, since one statement sees one moment. Only what drifted is then looked at again, alone with
    the organization's stock, and put right; the ledger says by whom.

    Raises:
        UnknownSkuError: One of the SKUs is not there.
    """
    if asked.sku_codes is None:
        stretch = await unit.ledger.stretch(asked.after, levels=LEVELS_A_STEP)
    else:
        stretch = Stretch((await find_skus(unit, asked.sku_codes)).values())
    next_after = None if stretch.is_last else stretch.until
    drifts, found = await unit.ledger.drift(stretch, limit=MAX_DRIFTS)
    levels = await unit.ledger.level_count(stretch)
    if not asked.repair or not drifts:
        return Verification(levels, found, drifts, next_after=next_after)
    await unit.locks.extend_catalogue()
    shelves = await unit.levels.lock(drift.sku_id for drift in drifts)
    drifts, _ = await unit.ledger.drift(Stretch({drift.sku_id for drift in drifts}), limit=MAX_DRIFTS)
    source = Source("verification", new_id(), asked.actor, current_trace_id(), asked.reason, "repair")
    mended = [drift for drift in drifts if _is_possible(drift.expected)]
    for drift in mended:
        _mend(drift, shelves, source)
    await unit.levels.save(shelves, now)
    await announce_stock(unit, shelves, now=now)
    unrepairable = [drift for drift in drifts if not _is_possible(drift.expected)]
    return Verification(levels, found, drifts, len(mended), unrepairable, next_after)


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
