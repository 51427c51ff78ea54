"""The order: what it has been told, and what follows from it.

Every fact about an order is kept with what makes it newer than another (a channel's stamp, inventory's and shipping's
versions), and its state, demand and hold are worked out anew from all facts after each of them. So facts may be
repeated and arrive in any order, and the order ends in the same place.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from rappit_common.errors import ConflictError

from rappit_orders.domain.commands import ApplyReservation, FollowShipment, ReceiveOrder, RemoveOrder, Stamp
from rappit_orders.domain.lifecycle import OrderState, check_transition
from rappit_orders.domain.values import (
    Demand,
    Hold,
    OrderContent,
    Reservation,
    ReservationStatus,
    Shipment,
    ShipmentStatus,
    demand_of,
)

INVENTORY = "inventory"
SHIPPING = "shipping"
_SHOWN_CHANGES = 10
_SHOWN_LINES = 5

_STATE_OF = {
    ReservationStatus.RESERVED: OrderState.RESERVED,
    ReservationStatus.BACKORDERED: OrderState.BACKORDERED,
    ReservationStatus.ON_HOLD: OrderState.ON_HOLD,
}


class LabelledOrderError(ConflictError):
    """A label was bought for the order, so its goods may be in a parcel already."""

    code = "order_labelled"


class Outcome(StrEnum):
    """What a fact did to an order."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True)
class Happening:
    """Something to be told in an order's timeline.

    Attributes:
        kind: Stable name, for programs.
        message: A sentence, for people.
        actor: Who caused it: a channel's kind, another service, or a user's label.
        detail: Further facts, JSON-serialisable.
    """

    kind: str
    message: str
    actor: str
    detail: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(slots=True)
class Order:
    """One order of one channel (or of none).

    Attributes:
        content_stamp: Of the newest content taken; None while only a removal is known.
        cancellation_stamp: Of the newest word on whether the channel cancelled it.
        order_version: Rises with every change of content or demand. 0 before the first.
        state_version: Rises with everything others are told.
        demand: As asked of inventory. It stands still while a label is bought, so that nothing drifts under a parcel.
        happenings: What was done since the order was loaded.
    """

    id: UUID
    channel_id: UUID | None
    external_order_id: str
    content: OrderContent
    updated_at: datetime
    content_stamp: Stamp | None = None
    channel_cancelled: bool = False
    cancellation_stamp: Stamp | None = None
    merchant_cancelled: bool = False
    state: OrderState = OrderState.RECEIVED
    hold: Hold | None = None
    order_version: int = 0
    state_version: int = 0
    demand: tuple[Demand, ...] = ()
    reservation: Reservation = field(default_factory=Reservation)
    shipments: tuple[Shipment, ...] = ()
    happenings: list[Happening] = field(default_factory=list[Happening])

    @property
    def cancelled(self) -> bool:
        """Whether anybody who may cancelled it."""
        return self.channel_cancelled or self.merchant_cancelled

    @property
    def labelled(self) -> tuple[Shipment, ...]:
        """Parcels with a label that was not voided."""
        return tuple(s for s in self.shipments if s.status is ShipmentStatus.LABELLED)

    def receive(self, command: ReceiveOrder, *, actor: str, now: datetime) -> Outcome:
        """Take the order as its channel describes it, unless it is older than what is known."""
        newer_content = self.content_stamp is None or command.stamp > self.content_stamp
        newer_word = self.cancellation_stamp is None or command.cancellation_stamp > self.cancellation_stamp
        before = self.content, self.channel_cancelled
        if (command.content, command.cancelled) != before and not (newer_content or newer_word):
            return self._supersede(command.stamp, actor)
        if newer_content:
            self.content, self.content_stamp = command.content, command.stamp
        if newer_word:
            self.channel_cancelled, self.cancellation_stamp = command.cancelled, command.cancellation_stamp
        return self._take(before, actor, now)

    def remove(self, command: RemoveOrder, *, actor: str, now: datetime) -> Outcome:
        """Take that the channel removed the order: it wants it no more."""
        if self.cancellation_stamp is not None and command.stamp <= self.cancellation_stamp:
            return self._supersede(command.stamp, actor)
        before = self.content, self.channel_cancelled
        self.channel_cancelled, self.cancellation_stamp = True, command.stamp
        return self._take(before, actor, now)

    def cancel(self, reason: str, *, actor: str, now: datetime) -> Outcome:
        """Cancel on the merchant's wish; no word of the channel brings the order back then.

        Raises:
            LabelledOrderError: A label was bought: its shipment must be voided first.
        """
        if self.labelled:
            parcels = ", ".join(f"{s.carrier} {s.tracking_number}" for s in self.labelled)
            raise LabelledOrderError(
                f"A label was bought for this order ({parcels}). Void the shipment first, then cancel.",
                shipment_ids=[str(s.shipment_id) for s in self.labelled],
            )
        if self.merchant_cancelled:
            return Outcome.UNCHANGED
        first = not self.channel_cancelled
        self.merchant_cancelled = True
        self._note("order_cancelled", f"Cancelled: {reason}", actor, reason=reason)
        self._settle(now, actor, changed=first)
        return Outcome.APPLIED

    def apply_reservation(self, command: ApplyReservation, *, now: datetime) -> Outcome:
        """Take inventory's answer, if it is the newest and answers what is asked now."""
        answer = command.reservation
        if command.order_version != self.order_version or answer.version <= self.reservation.version:
            return Outcome.SUPERSEDED
        allocations_before = self.reservation.allocations
        self.reservation = answer
        kind = f"stock_{answer.status.value}" if answer.status else "stock_awaited"
        self._note(kind, answer.message or _told(answer), INVENTORY, reservation_version=answer.version)
        self._settle(now, INVENTORY, told=answer.allocations != allocations_before)
        return Outcome.APPLIED

    def follow_shipment(self, command: FollowShipment, *, now: datetime) -> Outcome:
        """Take what became of a parcel, if it is newer than what is known of it."""
        told = command.shipment
        known = {s.shipment_id: s for s in self.shipments}
        if told.shipment_id in known and told.version <= known[told.shipment_id].version:
            return Outcome.SUPERSEDED
        self.shipments = tuple({**known, told.shipment_id: told}.values())
        verb = "Label bought" if told.status is ShipmentStatus.LABELLED else "Label voided"
        self._note(
            f"shipment_{told.status.value}",
            f"{verb}: {told.carrier} {told.tracking_number}.",
            SHIPPING,
            shipment_id=str(told.shipment_id),
        )
        self._settle(now, SHIPPING)
        return Outcome.APPLIED

    def _note(self, kind: str, message: str, actor: str, **detail: Any) -> None:
        self.happenings.append(Happening(kind, message, actor, detail))

    def _supersede(self, stamp: Stamp, actor: str) -> Outcome:
        known = self.content_stamp or self.cancellation_stamp
        newer = known.changed_at if known else stamp.changed_at
        message = f"A delivery of {_at(stamp.changed_at)} changed nothing: what is known is of {_at(newer)}."
        self._note("delivery_superseded", message, actor)
        return Outcome.SUPERSEDED

    def _take(self, before: tuple[OrderContent, bool], actor: str, now: datetime) -> Outcome:
        content_before, cancelled_before = before
        first = self.order_version == 0
        if not first and (self.content, self.channel_cancelled) == before:
            self._note("delivery_unchanged", "A delivery said what was known already.", actor)
            return Outcome.UNCHANGED
        if first:
            self._note("order_received", f"Order {self.content.number} received: {_wanted(self.content)}.", actor)
        elif self.content != content_before:
            self._note("order_changed", _difference(content_before, self.content), actor)
        if self.channel_cancelled and not cancelled_before:
            self._note("order_cancelled", "Cancelled in the channel.", actor)
        elif cancelled_before and not self.channel_cancelled:
            self._note("order_restored", "The channel wants the order after all.", actor)
        self._settle(now, actor, changed=True)
        return Outcome.APPLIED

    def _settle(self, now: datetime, actor: str, *, changed: bool = False, told: bool = False) -> None:
        """Work out demand, state, hold and versions from the facts."""
        wanted = self._wants()
        if not self.labelled and wanted != self.demand:
            self.demand, changed = wanted, True
            # What was said of another demand is no answer to this one; where the goods lie stays true until told anew.
            self.reservation = Reservation(self.reservation.version, allocations=self.reservation.allocations)
        if changed:
            self.order_version += 1
        before = self.state
        state = self._works_out_as()
        if state is not before:
            check_transition(before, state)
            self.state = state
            self._note("state_changed", f"{before.value} → {state.value}", actor)
        self.hold = self._held_by(wanted)
        if changed or told or state is not before:
            self.state_version += 1
            self.updated_at = now

    def _wants(self) -> tuple[Demand, ...]:
        if self.cancelled or self.content.lines_without_sku:
            # Nothing of an order is asked for while a part of it cannot be named: half of it would wait in vain.
            return ()
        return demand_of(self.content.lines)

    def _works_out_as(self) -> OrderState:
        if self.cancelled and (not self.labelled or self.state is OrderState.CANCELLED):
            return OrderState.CANCELLED
        if self.labelled:
            return OrderState.READY_TO_SHIP
        if self.content.lines_without_sku:
            return OrderState.ON_HOLD
        status = self.reservation.status
        return OrderState.RECEIVED if status is None else _STATE_OF.get(status, OrderState.RECEIVED)

    def _held_by(self, wanted: tuple[Demand, ...]) -> Hold | None:
        parcels = ", ".join(f"{s.carrier} {s.tracking_number}" for s in self.labelled)
        if self.labelled and self.cancelled:
            return Hold(
                "cancelled_after_label",
                f"The order was cancelled, and a label was bought for it ({parcels}). Void the shipment.",
            )
        if self.labelled and wanted != self.demand:
            return Hold(
                "changed_after_label",
                f"The channel changed the order after its label was bought ({parcels}). "
                "Void the shipment to pack it anew, or ship it as it is.",
            )
        if self.labelled:
            return self._mispacked(parcels)
        if self.state is OrderState.ON_HOLD and self.content.lines_without_sku:
            names = ", ".join(
                f'"{line.name}" ({line.external_line_id})' for line in self.content.lines_without_sku[:_SHOWN_LINES]
            )
            return Hold("missing_sku", f"No SKU on line {names}: give the product a SKU in the channel.")
        if self.state in {OrderState.ON_HOLD, OrderState.BACKORDERED}:
            answer = self.reservation
            return Hold(answer.reason or self.state.value, answer.message or _told(answer))
        return None

    def _mispacked(self, parcels: str) -> Hold | None:
        """Return what differs between the parcels and the order: it may be changed while a carrier is asked."""
        packed, wanted = Counter[str](), Counter[str]()
        spelled: dict[str, str] = {}
        for counted, units in ((wanted, self.demand), (packed, (d for s in self.labelled for d in s.lines))):
            for unit in units:
                # As inventory does, SKUs are compared without regard to case.
                key = unit.sku.strip().casefold()
                counted[key] += unit.quantity
                spelled.setdefault(key, unit.sku)
        if not packed or packed == wanted:
            return None
        wrong = sorted(key for key in spelled if packed[key] != wanted[key])
        # What should not be in a parcel matters more than what is not in one yet.
        wrong.sort(key=lambda key: packed[key] <= wanted[key])
        told = [f"{spelled[key]}: {packed[key]} in the parcel, {wanted[key]} wanted" for key in wrong]
        left = len(told) - _SHOWN_CHANGES
        shown = "; ".join(told[:_SHOWN_CHANGES]) + (f"; and {left} more" if left > 0 else "")
        if packed - wanted:
            return Hold(
                "changed_after_label",
                f"The order was changed while its label was bought ({parcels}), and the parcel holds something else "
                f"({shown}). Void the shipment to pack it anew, or ship it as it is.",
            )
        return Hold(
            "partly_labelled",
            f"There is no label for all of the order yet ({shown}). "
            f"Buy an additional one, or void the shipment ({parcels}) to pack it anew.",
        )


def _at(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def _wanted(content: OrderContent) -> str:
    demand = demand_of(content.lines)
    if not demand:
        return "nothing to ship" if not content.lines_without_sku else "nothing to ship until each line has a SKU"
    return f"{_units(sum(d.quantity for d in demand))} of {len(demand)} SKU{'s' if len(demand) > 1 else ''} to ship"


def _units(quantity: int) -> str:
    return f"{quantity} unit{'' if quantity == 1 else 's'}"


def _difference(before: OrderContent, after: OrderContent) -> str:
    old, new = ({d.sku: d.quantity for d in demand_of(content.lines)} for content in (before, after))
    moved = [
        f"{sku} {old.get(sku, 0)} → {new.get(sku, 0)}" for sku in sorted({*old, *new}) if old.get(sku) != new.get(sku)
    ]
    if before.payment_state is not after.payment_state:
        moved.append(f"payment {before.payment_state.value} → {after.payment_state.value}")
    left = len(moved) - _SHOWN_CHANGES
    shown = ", ".join(moved[:_SHOWN_CHANGES]) + (f" and {left} more" if left > 0 else "")
    return f"Changed: {shown}." if moved else "Changed, with no effect on what is to ship."


def _told(answer: Reservation) -> str:
    if answer.status is ReservationStatus.RESERVED:
        places = sorted({a.warehouse_code for a in answer.allocations})
        units = _units(sum(a.quantity for a in answer.allocations))
        return f"Reserved {units} in {', '.join(places) or 'no warehouse'}."
    if answer.status is ReservationStatus.RELEASED:
        return "No stock is held."
    return f"Inventory says {answer.status.value if answer.status else 'nothing yet'}."
