"""Move stock between warehouses."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from rappit_common.clock import new_id
from rappit_common.errors import InvalidError
from rappit_common.tracing import current_trace_id

from rappit_inventory.domain import transfers
from rappit_inventory.domain.errors import UnknownDocumentError
from rappit_inventory.domain.stock import Shelves, Source
from rappit_inventory.domain.transfers import Transfer, TransferLine, TransferStatus
from rappit_inventory.service.announcements import announce_stock
from rappit_inventory.service.lookup import find_skus, find_warehouse, hold_catalogue
from rappit_inventory.unit import InventoryUnit


@dataclass(frozen=True, slots=True)
class _Step:
    action: str
    units: Mapping[UUID, int]
    actor: str
    reason: str | None = None


class SameWarehouseError(InvalidError):
    """A transfer goes from one warehouse to another."""

    code = "same_warehouse"


async def draft_transfer(
    unit: InventoryUnit,
    source_code: str,
    target_code: str,
    quantities: Mapping[str, int],
    *,
    note: str | None,
    actor: str,
    now: datetime,
) -> UUID:
    """Plan a transfer; nothing moves before it is sent. Returns its id.

    Raises:
        UnknownSkuError: One of the SKUs is not there.
        UnknownWarehouseError: One of the warehouses is not there.
        InactiveWarehouseError: Nothing new comes to the target. The source may be closed: that is why it is emptied.
        SameWarehouseError: Both are one.
    """
    source = await find_warehouse(unit, source_code)
    target = await find_warehouse(unit, target_code, only_active=True)
    if source.id == target.id:
        raise SameWarehouseError(f"Warehouse {source.code} is both source and target: name another target.")
    sku_ids = await find_skus(unit, quantities)
    lines: dict[UUID, TransferLine] = {}
    for code, quantity in quantities.items():
        sku_id = sku_ids[code]
        lines.setdefault(sku_id, TransferLine(sku_id, code, 0)).quantity += quantity
    # Made now, so that each later step finds its levels and need not be alone with the catalogue.
    await hold_catalogue(unit, [(sku_id, place) for sku_id in lines for place in (source.id, target.id)], now)
    transfer = Transfer(new_id(), source.id, target.id, TransferStatus.DRAFT, lines)
    await unit.transfers.add(transfer, note, now)
    planned = {line.sku_id: line.quantity for line in lines.values()}
    await _note(unit, transfer, _Step("drafted", planned, actor, note), now)
    return transfer.id


async def send_transfer(unit: InventoryUnit, transfer_id: UUID, *, actor: str, now: datetime) -> None:
    """Take the units off the source's shelves; a second time nothing happens.

    Raises:
        UnknownDocumentError: No such transfer.
        DocumentClosedError: It was cancelled.
        InsufficientStockError: The source lacks some of it.
    """
    transfer, shelves = await _lock(unit, transfer_id)
    sent = transfers.send(transfer, shelves, _source(transfer, actor, None))
    await _save(unit, transfer, shelves, _Step("sent", sent, actor), now=now)


async def receive_transfer(
    unit: InventoryUnit, transfer_id: UUID, quantities: Mapping[str, int] | None, *, actor: str, now: datetime
) -> None:
    """Put units that arrived on the target's shelves, all of the rest if none are named.

    Raises:
        UnknownDocumentError: No such transfer.
        UnknownSkuError: One of the SKUs is not there.
        DocumentClosedError: It was not sent.
        NotInTransitError: Less is on the way.
        QuantityTooLargeError: The target cannot count as many.
    """
    named = await _by_id(unit, quantities)
    transfer, shelves = await _lock(unit, transfer_id)
    arrived = transfers.receive(transfer, named, shelves, _source(transfer, actor, None))
    await _save(unit, transfer, shelves, _Step("received", arrived, actor), now=now)


async def write_off_transfer(
    unit: InventoryUnit,
    transfer_id: UUID,
    quantities: Mapping[str, int] | None,
    *,
    reason: str,
    actor: str,
    now: datetime,
) -> None:
    """Give up units that did not arrive, all of the rest if none are named.

    Raises:
        UnknownDocumentError: No such transfer.
        UnknownSkuError: One of the SKUs is not there.
        DocumentClosedError: It was not sent.
        NotInTransitError: Less is on the way.
    """
    named = await _by_id(unit, quantities)
    transfer, shelves = await _lock(unit, transfer_id)
    lost = transfers.write_off(transfer, named)
    await _save(unit, transfer, shelves, _Step("written_off", lost, actor, reason), now=now)


async def cancel_transfer(
    unit: InventoryUnit, transfer_id: UUID, *, reason: str | None, actor: str, now: datetime
) -> None:
    """End a transfer; what is on the way goes back to the source.

    Raises:
        UnknownDocumentError: No such transfer.
        DocumentClosedError: All of it has arrived.
        QuantityTooLargeError: The source cannot count as many.
    """
    transfer, shelves = await _lock(unit, transfer_id)
    was = transfer.status
    back = transfers.cancel(transfer, shelves, _source(transfer, actor, reason))
    if transfer.status is not was:
        await _save(unit, transfer, shelves, _Step("cancelled", back, actor, reason), now=now, always=True)


def _source(transfer: Transfer, actor: str, reason: str | None) -> Source:
    return Source("transfer", transfer.id, actor, current_trace_id(), reason)


async def _by_id(unit: InventoryUnit, quantities: Mapping[str, int] | None) -> dict[UUID, int] | None:
    if quantities is None:
        return None
    sku_ids = await find_skus(unit, quantities)
    named: dict[UUID, int] = {}
    for code, quantity in quantities.items():
        named[sku_ids[code]] = named.get(sku_ids[code], 0) + quantity
    return named


async def _lock(unit: InventoryUnit, transfer_id: UUID) -> tuple[Transfer, Shelves]:
    await unit.locks.read_catalogue()
    transfer = await unit.transfers.lock(transfer_id)
    if transfer is None:
        raise UnknownDocumentError(f"There is no transfer {transfer_id}.", transfer_id=str(transfer_id))
    return transfer, await unit.levels.lock(transfer.lines)


async def _save(
    unit: InventoryUnit, transfer: Transfer, shelves: Shelves, step: _Step, *, now: datetime, always: bool = False
) -> None:
    if not step.units and not always:
        return
    await unit.transfers.save(transfer, now)
    await _note(unit, transfer, step, now)
    await unit.levels.save(shelves, now)
    await announce_stock(unit, shelves, now=now)


async def _note(unit: InventoryUnit, transfer: Transfer, step: _Step, now: datetime) -> None:
    named = {transfer.lines[sku_id].sku_code: quantity for sku_id, quantity in step.units.items()}
    unit.forget_availability(step.units)
    await unit.transfers.note(transfer.id, step.action, named, actor=step.actor, reason=step.reason, now=now)
