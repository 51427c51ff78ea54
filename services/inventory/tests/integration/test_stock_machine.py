"""The services on a real PostgreSQL, held to the model: what is put off goes through the outbox, as in production."""

import asyncio
from collections import Counter, defaultdict
from contextlib import AsyncExitStack

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from rappit_common.clock import new_id
from rappit_common.database.engine import Database
from rappit_common.testing.plugin import opened_sandbox, stateful_settings
from rappit_common.unit_of_work import UnitsOfWork
from rappit_inventory.domain.holds import HoldKind
from rappit_inventory.domain.imports import ImportKind, ImportOptions, ImportWork
from rappit_inventory.domain.stock_file import StockRow
from rappit_inventory.flows.hold_expiry import HoldExpiry
from rappit_inventory.messages import WaitingFillable
from rappit_inventory.repository.catalogue import NewSku
from rappit_inventory.service import transfer
from rappit_inventory.service.adjust import Adjustment, StateMove, adjust_stock, move_state
from rappit_inventory.service.catalogue import NewWarehouse, add_skus, add_warehouse
from rappit_inventory.service.hold import HoldStock, convert_hold, hold_stock, release_hold
from rappit_inventory.service.import_stock import import_stock
from rappit_inventory.service.intervene import Act, release_reservation, resume_reservation
from rappit_inventory.service.reserve import OrderVersion, fill_waiting, reserve_orders
from rappit_inventory.service.ship import ShipmentVersion, apply_shipment
from rappit_inventory.service.take_back import ReturnedLine, take_back
from rappit_inventory.service.verify import Verify, verify_stock
from rappit_inventory.settings import InventorySettings
from rappit_inventory.unit import InventoryUnit
from sqlalchemy import text
from stock_machine import KEYS, PARTS, PLACES, SKUS, START, Has, Seen, StockMachine

pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]

_NAMES = """
    JOIN skus s ON s.organization_id = x.organization_id AND s.id = x.sku_id
    JOIN warehouses w ON w.organization_id = x.organization_id AND w.id = x.warehouse_id
    WHERE x.organization_id = :organization_id
"""
_LEVELS = f"""
    SELECT s.code, w.code, quantity_total, quantity_reserved, quantity_damaged, quantity_quarantined
    FROM inventory_levels x {_NAMES}
"""  # noqa: S608 - of literals, as those below
_SUMS = ", ".join(f"sum({part}_after - {part}_before)::bigint" for part in PARTS)
_LEDGER = f"SELECT s.code, w.code, {_SUMS} FROM stock_ledger x {_NAMES} GROUP BY 1, 2"  # noqa: S608
_HAS = f"""
    SELECT x.order_id, s.code, w.code, quantity_reserved, quantity_committed, quantity_returned
    FROM allocations x {_NAMES}
"""  # noqa: S608
_HOLDS = """
    SELECT h.id, h.state, s.code, w.code, l.quantity
    FROM holds h JOIN hold_lines l ON l.organization_id = h.organization_id AND l.hold_id = h.id
    JOIN skus s ON s.organization_id = h.organization_id AND s.id = l.sku_id
    JOIN warehouses w ON w.organization_id = h.organization_id AND w.id = l.warehouse_id
    WHERE h.organization_id = :organization_id ORDER BY h.id
"""
_SENT = """
    SELECT s.code, w.code, sum(l.quantity_in_transit)::bigint FROM transfer_lines l
    JOIN skus s ON s.organization_id = l.organization_id AND s.id = l.sku_id
    JOIN warehouses w ON w.organization_id = l.organization_id AND w.id = l.target_id
    WHERE l.organization_id = :organization_id GROUP BY 1, 2
"""
_STATUSES = "SELECT order_id, status FROM demands WHERE organization_id = :organization_id"
_ARRIVED = """
    DELETE FROM outbox WHERE organization_id = :organization_id AND event = 'inventory.stock-arrived.v1'
    RETURNING body
"""


class Postgres:
    """One organization's stock, by the services' use cases: each a transaction."""

    def __init__(self, runner, units):
        self.runner, self.units = runner, units
        self.organization_id = new_id()
        self._do(self._add_catalogue)

    def _do(self, act):
        async def in_one_transaction():
            async with self.units.begin(self.organization_id) as unit:
                return await act(unit)

        return self.runner.run(in_one_transaction())

    @staticmethod
    async def _add_catalogue(unit):
        await add_skus(unit, [NewSku(sku, sku) for sku in SKUS], now=START)
        for number, place in enumerate(PLACES):
            await add_warehouse(unit, NewWarehouse(place, place, number, None), now=START)

    def order(self, order_id, version, wanted, now):
        asked = OrderVersion(order_id, version, tuple(wanted.items()))
        self._do(lambda unit: reserve_orders(unit, [asked], now=now))

    def serve_waiting(self, now):
        async def serve(unit):
            rows = await unit.session.execute(text(_ARRIVED), {"organization_id": self.organization_id})
            told = [WaitingFillable.model_validate_json(body) for body in rows.scalars()]
            for event in told:
                await fill_waiting(unit, event.sku_ids, None, now=now)
            return told

        while self._do(serve):
            pass

    def force_release(self, order_id, now):
        self._do(lambda unit: release_reservation(unit, order_id, Act("tester", "test"), now=now))

    def resume(self, order_id, now):
        self._do(lambda unit: resume_reservation(unit, order_id, Act("tester", None), now=now))

    def bring(self, rows, mode, now):
        lines = [StockRow(line, *key, quantity) for line, (key, quantity) in enumerate(rows.items(), start=2)]
        options = ImportOptions(ImportKind.STOCK, mode)
        self._do(lambda unit: import_stock(unit, lines, ImportWork(new_id(), "tester", options), now=now))

    def adjust(self, key, delta, now):
        self._do(lambda unit: adjust_stock(unit, Adjustment(*key, delta, "test", "tester"), now=now))

    def set_aside(self, key, quantity, states, now):
        self._do(lambda unit: move_state(unit, StateMove(*key, quantity, *states, "test", "tester"), now=now))

    def send(self, source, target, wanted, now):
        async def send(unit):
            made = await transfer.draft_transfer(unit, source, target, wanted, note=None, actor="tester", now=now)
            await transfer.send_transfer(unit, made, actor="tester", now=now)
            return made

        return self._do(send)

    def receive(self, transfer_id, wanted, now):
        self._do(lambda unit: transfer.receive_transfer(unit, transfer_id, wanted, actor="tester", now=now))

    def write_off(self, transfer_id, now):
        self._do(
            lambda unit: transfer.write_off_transfer(unit, transfer_id, None, reason="lost", actor="tester", now=now)
        )

    def cancel_transfer(self, transfer_id, now):
        self._do(lambda unit: transfer.cancel_transfer(unit, transfer_id, reason=None, actor="tester", now=now))

    def ship(self, shipment_id, order_id, version, status, wanted, now):
        shipped = ShipmentVersion(shipment_id, order_id, version, status, None, tuple(wanted.items()))
        self._do(lambda unit: apply_shipment(unit, shipped, now=now))

    def take_back(self, order_id, wanted, condition, now):
        lines = [ReturnedLine(sku, quantity, condition) for sku, quantity in wanted.items()]
        self._do(lambda unit: take_back(unit, order_id, lines, reason=None, actor="tester", now=now))

    def hold(self, wanted, place, lasts, now):
        asked = HoldStock(HoldKind.CART, wanted, "tester", place, lasts)
        return self._do(lambda unit: hold_stock(unit, asked, now=now)).id

    def release(self, hold_id, now):
        self._do(lambda unit: release_hold(unit, hold_id, actor="tester", now=now))

    def convert(self, hold_id, order_id, now):
        self._do(lambda unit: convert_hold(unit, hold_id, order_id, now=now))

    def expire(self, now):
        part = HoldExpiry(self.units, now=lambda: now, poll_s=1)
        while self.runner.run(part.expire()):
            pass

    def see(self):
        async def look(unit):
            async def rows(query):
                return (await unit.session.execute(text(query), {"organization_id": self.organization_id})).all()

            verified = await verify_stock(unit, Verify("tester", "test"), now=START)
            assert verified.found == 0
            has = defaultdict(Has)
            statuses = dict(map(tuple, await rows(_STATUSES)))
            for order_id in statuses:
                has[order_id] = Has()
            for order_id, *key, reserved, committed, returned in await rows(_HAS):
                for part, quantity in (("reserved", reserved), ("committed", committed), ("returned", returned)):
                    getattr(has[order_id], part)[tuple(key)] = quantity
            holds = {}
            for hold_id, state, *key, quantity in await rows(_HOLDS):
                holds.setdefault(hold_id, (state, {}))[1][tuple(key)] = quantity
            nothing = dict.fromkeys(KEYS, (0, 0, 0, 0))
            return Seen(
                nothing | {(sku, place): tuple(parts) for sku, place, *parts in await rows(_LEVELS)},
                nothing | {(sku, place): tuple(parts) for sku, place, *parts in await rows(_LEDGER)},
                statuses,
                has,
                holds,
                Counter({(sku, place): quantity for sku, place, quantity in await rows(_SENT)}),
            )

        return self._do(look)


def test_services_keep_to_the_model(servers):
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        sandbox = runner.run(stack.enter_async_context(opened_sandbox(servers, "stock_machine")))
        made = runner.run(stateful_settings(sandbox, InventorySettings, "rappit_inventory", "inventory"))
        database = Database(made.database_url, schema="inventory")
        stack.push_async_callback(database.close)
        units = UnitsOfWork(database, InventoryUnit)

        class Machine(StockMachine):
            def make_world(self):
                return Postgres(runner, units)

        slow = settings(
            max_examples=25,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        )
        try:
            run_state_machine_as_test(Machine, settings=slow)
        finally:
            runner.run(stack.aclose())
