"""Goods on their way between two warehouses: at every moment each unit is in exactly one place.

What is sent leaves the source's total and is in transit; from there it arrives, is written off, or goes back.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from rappit_inventory.domain.errors import DocumentClosedError, NotInTransitError
from rappit_inventory.domain.stock import MovementKind, Shelves, Source, StockState, check_room, check_state


class TransferStatus(StrEnum):
    """How far a transfer has come."""

    DRAFT = "draft"
    SENT = "sent"
    RECEIVED = "received"
    CANCELLED = "cancelled"


@dataclass(slots=True)
class TransferLine:
    """Units of one SKU in a transfer, and where they are once it was sent."""

    sku_id: UUID
    sku_code: str
    quantity: int
    in_transit: int = 0
    received: int = 0
    written_off: int = 0
    returned: int = 0


@dataclass(slots=True)
class Transfer:
    """A transfer, locked."""

    id: UUID
    source_id: UUID
    target_id: UUID
    status: TransferStatus
    lines: dict[UUID, TransferLine] = field(default_factory=dict[UUID, TransferLine])

    def rest(self) -> dict[UUID, int]:
        """Return the units by SKU that are on the way."""
        return {line.sku_id: line.in_transit for line in self.lines.values() if line.in_transit}


def send(transfer: Transfer, shelves: Shelves, source: Source) -> dict[UUID, int]:
    """Take a draft's units off the source's shelves; returns what left. Sending again sends nothing.

    Raises:
        DocumentClosedError: It was cancelled.
        InsufficientStockError: The source lacks some of it; nothing left.
    """
    if transfer.status is TransferStatus.CANCELLED:
        raise DocumentClosedError("The transfer was cancelled: make a new one.", status=transfer.status.value)
    if transfer.status is not TransferStatus.DRAFT:
        return {}
    for line in transfer.lines.values():
        check_state(shelves.at(line.sku_id, transfer.source_id), StockState.SELLABLE, line.quantity)
    for sku_id in sorted(transfer.lines):
        line = transfer.lines[sku_id]
        shelves.move(sku_id, transfer.source_id, MovementKind.TRANSFER, source, total=-line.quantity)
        line.in_transit = line.quantity
    transfer.status = TransferStatus.SENT
    return transfer.rest()


def receive(
    transfer: Transfer, quantities: Mapping[UUID, int] | None, shelves: Shelves, source: Source
) -> dict[UUID, int]:
    """Put units that arrived on the target's shelves; returns them.

    Args:
        transfer: Changed in place.
        quantities: Units by SKU; None for all that is on the way, which is nothing when it is asked for again.
        shelves: The locked levels; changed in place.
        source: What the ledger says.

    Raises:
        DocumentClosedError: It was not sent.
        NotInTransitError: Less is on the way.
        QuantityTooLargeError: The target cannot count as many.
    """
    arrived = _taken_from_transit(transfer, quantities)
    for sku_id in sorted(arrived):
        check_room(shelves.at(sku_id, transfer.target_id), arrived[sku_id])
        shelves.move(sku_id, transfer.target_id, MovementKind.TRANSFER, source, total=arrived[sku_id])
        transfer.lines[sku_id].received += arrived[sku_id]
    _close_if_done(transfer)
    return arrived


def write_off(transfer: Transfer, quantities: Mapping[UUID, int] | None) -> dict[UUID, int]:
    """Give up units that did not arrive; returns them. They left the source's total when they were sent.

    Raises:
        DocumentClosedError: It was not sent.
        NotInTransitError: Less is on the way.
    """
    lost = _taken_from_transit(transfer, quantities)
    for sku_id, quantity in lost.items():
        transfer.lines[sku_id].written_off += quantity
    _close_if_done(transfer)
    return lost


def cancel(transfer: Transfer, shelves: Shelves, source: Source) -> dict[UUID, int]:
    """End a transfer; what is on the way goes back to the source, and is returned. Cancelling again changes nothing.

    Raises:
        DocumentClosedError: All of it has arrived.
        QuantityTooLargeError: The source cannot count as many.
    """
    if transfer.status is TransferStatus.RECEIVED:
        raise DocumentClosedError("All of the transfer has arrived: send it back by another one.", status="received")
    back = transfer.rest()
    for sku_id in sorted(back):
        check_room(shelves.at(sku_id, transfer.source_id), back[sku_id])
        shelves.move(sku_id, transfer.source_id, MovementKind.TRANSFER, source, total=back[sku_id])
        line = transfer.lines[sku_id]
        line.in_transit, line.returned = 0, line.returned + back[sku_id]
    transfer.status = TransferStatus.CANCELLED
    return back


def _taken_from_transit(transfer: Transfer, quantities: Mapping[UUID, int] | None) -> dict[UUID, int]:
    if transfer.status is TransferStatus.DRAFT:
        raise DocumentClosedError("The transfer was not sent yet: send it first.", status=transfer.status.value)
    taken = transfer.rest() if quantities is None else dict(quantities)
    for sku_id, quantity in taken.items():
        line = transfer.lines.get(sku_id)
        if line is None or line.in_transit < quantity:
            on_the_way = line.in_transit if line else 0
            code = line.sku_code if line else str(sku_id)
            raise NotInTransitError(
                f"Only {on_the_way} of SKU {code} are on the way, not {quantity}.",
                sku=code,
                requested=quantity,
                in_transit=on_the_way,
            )
    for sku_id, quantity in taken.items():
        transfer.lines[sku_id].in_transit -= quantity
    return taken


def _close_if_done(transfer: Transfer) -> None:
    if transfer.status is TransferStatus.SENT and not transfer.rest():
        transfer.status = TransferStatus.RECEIVED
