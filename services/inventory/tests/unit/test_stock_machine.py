"""The rules of stock, held to a model: the domain in memory, without a database."""

from collections import Counter
from itertools import count
from uuid import UUID

import pytest
from hypothesis import settings
from rappit_inventory.domain import transfers
from rappit_inventory.domain.demands import Demand, DemandLine, ForceRelease, settle
from rappit_inventory.domain.errors import DocumentClosedError, ReservationCompleteError
from rappit_inventory.domain.holds import (
    LIVE,
    Hold,
    HoldKind,
    HoldState,
    find_units,
    give_up,
    hand_over,
    hold_units,
    promise,
)
from rappit_inventory.domain.imports import ImportMode
from rappit_inventory.domain.shipments import Shipment, give_back, take
from rappit_inventory.domain.stock import Level, MovementKind, Shelves, Source, StockState, check_state
from rappit_inventory.domain.transfers import Transfer, TransferLine, TransferStatus
from rappit_inventory.service import take_back
from rappit_inventory.service.take_back import ReturnedLine
from stock_machine import KEYS, PARTS, PLACES, SKUS, Has, Seen, StockMachine

SKU_ID = {code: UUID(int=number) for number, code in enumerate(SKUS, start=1)}
PLACE_ID = {code: UUID(int=number) for number, code in enumerate(PLACES, start=11)}
NAMES = {value: name for name, value in [*SKU_ID.items(), *PLACE_ID.items()]}
SOURCE = Source("test", UUID(int=99), "tester")


def by_id(wanted):
    return {SKU_ID[sku]: quantity for sku, quantity in wanted.items()}


def named(units):
    return {(NAMES[sku], NAMES[place]): quantity for (sku, place), quantity in units.items()}


class Domain:
    """One organization's stock, as the services put the domain together."""

    def __init__(self):
        self.shelves = Shelves(
            Level(SKU_ID[sku], PLACE_ID[place], sku, place, PLACES.index(place), 0, 0) for sku, place in KEYS
        )
        self.ids = (UUID(int=number) for number in count(1_000))
        self.demands, self.holds, self.transfers, self.shipments = {}, {}, {}, {}

    def order(self, order_id, version, wanted, now):
        demand = self.demands.setdefault(order_id, Demand(order_id))
        lines = [DemandLine(sku, quantity, SKU_ID[sku]) for sku, quantity in wanted.items()]
        if not demand.accept(version, lines):
            return
        for hold in self.holds.values():
            if hold.state is HoldState.PROMISED and hold.order_id == order_id:
                hand_over(hold, demand, self.shelves, SOURCE, SOURCE, now=now)
        settle(demand, self.shelves, SOURCE, now=now)

    def serve_waiting(self, now):
        waiting = [demand for demand in self.demands.values() if demand.is_waiting]
        for demand in sorted(waiting, key=lambda x: x.waiting_since):
            settle(demand, self.shelves, SOURCE, now=now)

    def force_release(self, order_id, now):
        demand = self.demands[order_id]
        if demand.force_release is None and demand.is_complete:
            raise ReservationCompleteError("It needs nothing more.")
        demand.force_release = ForceRelease("tester", "test")
        settle(demand, self.shelves, SOURCE, now=now)

    def resume(self, order_id, now):
        self.demands[order_id].force_release = None
        settle(self.demands[order_id], self.shelves, SOURCE, now=now)

    def bring(self, rows, mode, _now):
        for (sku, place), quantity in rows.items():
            level = self.shelves.at(SKU_ID[sku], PLACE_ID[place])
            change = quantity if mode is ImportMode.ADD else quantity - level.total
            if level.available + change >= 0:
                self.shelves.move(level.sku_id, level.warehouse_id, MovementKind.IMPORT, SOURCE, total=change)

    def adjust(self, key, delta, _now):
        sku, place = key
        level = self.shelves.at(SKU_ID[sku], PLACE_ID[place])
        check_state(level, StockState.SELLABLE, -delta)
        self.shelves.move(level.sku_id, level.warehouse_id, MovementKind.ADJUST, SOURCE, total=delta)

    def set_aside(self, key, quantity, states, _now):
        level = self.shelves.at(SKU_ID[key[0]], PLACE_ID[key[1]])
        check_state(level, states[0], quantity)
        changes = Counter({states[0].value: -quantity, states[1].value: quantity})
        parts = {part: changes[part] for part in ("damaged", "quarantined")}
        self.shelves.move(level.sku_id, level.warehouse_id, MovementKind.STATE, SOURCE, **parts)

    def send(self, source, target, wanted, _now):
        lines = {SKU_ID[sku]: TransferLine(SKU_ID[sku], sku, quantity) for sku, quantity in wanted.items()}
        made = Transfer(next(self.ids), PLACE_ID[source], PLACE_ID[target], TransferStatus.DRAFT, lines)
        transfers.send(made, self.shelves, SOURCE)
        self.transfers[made.id] = made
        return made.id

    def receive(self, transfer_id, wanted, _now):
        transfers.receive(self.transfers[transfer_id], by_id(wanted) if wanted else None, self.shelves, SOURCE)

    def write_off(self, transfer_id, _now):
        transfers.write_off(self.transfers[transfer_id], None)

    def cancel_transfer(self, transfer_id, _now):
        transfers.cancel(self.transfers[transfer_id], self.shelves, SOURCE)

    def ship(self, shipment_id, order_id, version, status, wanted, now):
        demand = self.demands[order_id]
        known = self.shipments.get(shipment_id, Shipment(shipment_id, order_id))
        if version <= known.version:
            return
        give_back(known, demand, self.shelves, SOURCE)
        if status == "labelled":
            take(known, by_id(wanted), demand, self.shelves, SOURCE, None)
        known.version = version
        self.shipments[shipment_id] = known
        settle(demand, self.shelves, SOURCE, now=now)

    def take_back(self, order_id, wanted, condition, _now):
        for sku, quantity in wanted.items():
            line = ReturnedLine(sku, quantity, condition)
            take_back._put_back(line, SKU_ID[sku], None, self.demands[order_id], self.shelves, SOURCE)

    def hold(self, wanted, place, lasts, now):
        needs, codes = by_id(wanted), {SKU_ID[sku]: sku for sku in wanted}
        units = find_units(needs, codes, self.shelves, warehouse_id=PLACE_ID[place] if place else None)
        hold = Hold(next(self.ids), HoldKind.CART, units, "tester", now, expires_at=now + lasts)
        hold_units(hold, self.shelves, SOURCE)
        self.holds[hold.id] = hold
        return hold.id

    def release(self, hold_id, now):
        hold = self.holds[hold_id]
        if hold.state not in {HoldState.RELEASED, HoldState.EXPIRED}:
            hold.check_live()
            give_up(hold, HoldState.RELEASED, self.shelves, SOURCE, now=now)

    def convert(self, hold_id, order_id, now):
        hold = self.holds[hold_id]
        if hold.order_id == order_id and hold.state in {HoldState.PROMISED, HoldState.CONVERTED}:
            return
        hold.check_live()
        if hold.order_id is not None:
            raise DocumentClosedError("It is another order's.")
        promise(hold, order_id, now=now)
        if order_id in self.demands:
            hand_over(hold, self.demands[order_id], self.shelves, SOURCE, SOURCE, now=now)
            settle(self.demands[order_id], self.shelves, SOURCE, now=now)

    def expire(self, now):
        for hold in self.holds.values():
            if hold.state in LIVE and hold.expires_at <= now:
                give_up(hold, HoldState.EXPIRED, self.shelves, SOURCE, now=now)

    def see(self):
        levels, ledger = {}, {key: Counter() for key in KEYS}
        for move in self.shelves.movements:
            for part in PARTS:
                key = (NAMES[move.sku_id], NAMES[move.warehouse_id])
                ledger[key][part] += getattr(move, f"{part}_after") - getattr(move, f"{part}_before")
        for sku, place in KEYS:
            level = self.shelves.at(SKU_ID[sku], PLACE_ID[place])
            levels[sku, place] = tuple(getattr(level, part) for part in PARTS)
        sent = Counter()
        for made in self.transfers.values():
            sent.update({(NAMES[sku], NAMES[made.target_id]): quantity for sku, quantity in made.rest().items()})
        return Seen(
            levels,
            {key: tuple(sums[part] for part in PARTS) for key, sums in ledger.items()},
            {order_id: demand.status.value for order_id, demand in self.demands.items()},
            {
                order_id: Has(
                    *(
                        named({key: getattr(held, part) for key, held in demand.held.items()})
                        for part in ("reserved", "committed", "returned")
                    )
                )
                for order_id, demand in self.demands.items()
            },
            {hold_id: (hold.state.value, named(hold.units)) for hold_id, hold in self.holds.items()},
            sent,
        )


class DomainMachine(StockMachine):
    def make_world(self):
        return Domain()


DomainMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
# What fails is made smaller for up to five minutes.
TestDomain = pytest.mark.timeout(400)(DomainMachine.TestCase)
