"""Transfers, counts, returns, holds, imports, reservations and the rest at once: no deadlock, and all adds up."""

import asyncio
import random
from datetime import timedelta

import pytest
from rappit_common.clock import new_id, utc_now
from rappit_common.errors import RappitError
from rappit_inventory.domain.holds import HoldKind
from rappit_inventory.domain.imports import ImportKind, ImportMode, ImportOptions, ImportWork
from rappit_inventory.domain.stock import StockState
from rappit_inventory.domain.stock_file import StockRow
from rappit_inventory.service import count, transfer
from rappit_inventory.service.adjust import Adjustment, StateMove, adjust_stock, move_state, set_thresholds
from rappit_inventory.service.catalogue import change_sku, change_warehouse
from rappit_inventory.service.count import Counter
from rappit_inventory.service.hold import HoldStock, convert_hold, expire_holds, hold_stock, release_hold
from rappit_inventory.service.import_stock import import_stock
from rappit_inventory.service.reserve import OrderVersion, reserve_orders
from rappit_inventory.service.ship import ShipmentVersion, apply_shipment
from rappit_inventory.service.take_back import ReturnedLine, take_back
from rappit_inventory.service.verify import Verify, verify_stock

pytestmark = pytest.mark.server

SKUS, WAREHOUSES = ["A", "B", "C"], ["BER", "LYS"]


class Crowd:
    """Does one of everything, drawn when its turn comes; refusals are part of the trade."""

    def __init__(self, merchant, seed):
        self.merchant = merchant
        self.rng = random.Random(seed)
        self.orders = []
        self.transfers = []
        self.holds = []
        self.refused = 0

    def sku(self):
        return self.rng.choice(SKUS)

    def place(self):
        return self.rng.choice(WAREHOUSES)

    async def reserve(self, unit):
        order_id = new_id()
        wanted = tuple((sku, self.rng.randint(1, 3)) for sku in self.rng.sample(SKUS, 2))
        await reserve_orders(unit, [OrderVersion(order_id, 1, wanted)], now=utc_now())
        self.orders.append((order_id, wanted))

    async def ship(self, unit):
        if self.orders:
            order_id, wanted = self.orders.pop(self.rng.randrange(len(self.orders)))
            await apply_shipment(unit, ShipmentVersion(new_id(), order_id, 1, "labelled", None, wanted), now=utc_now())
            lines = [ReturnedLine(sku, 1, self.rng.choice(list(StockState)), self.place()) for sku, _ in wanted]
            await take_back(unit, order_id, lines, reason=None, actor="crowd", now=utc_now())

    async def adjust(self, unit):
        change = Adjustment(self.sku(), self.place(), self.rng.choice([-4, -1, 3, 6]), "crowd", "crowd")
        await adjust_stock(unit, change, now=utc_now())

    async def set_aside(self, unit):
        states = self.rng.sample(list(StockState), 2)
        move = StateMove(self.sku(), self.place(), self.rng.randint(1, 3), *states, "crowd", "crowd")
        await move_state(unit, move, now=utc_now())

    async def draft(self, unit):
        source, target = self.rng.sample(WAREHOUSES, 2)
        quantities = {sku: self.rng.randint(1, 4) for sku in self.rng.sample(SKUS, 2)}
        made = await transfer.draft_transfer(unit, source, target, quantities, note=None, actor="crowd", now=utc_now())
        await transfer.send_transfer(unit, made, actor="crowd", now=utc_now())
        self.transfers.append(made)

    async def arrive(self, unit):
        if self.transfers:
            chosen = self.rng.choice(self.transfers)
            step = self.rng.randrange(3)
            if step == 0:
                named = {self.sku(): 1}
                await transfer.receive_transfer(unit, chosen, named, actor="crowd", now=utc_now())
            elif step == 1:
                await transfer.write_off_transfer(unit, chosen, None, reason="lost", actor="crowd", now=utc_now())
            else:
                await transfer.cancel_transfer(unit, chosen, reason=None, actor="crowd", now=utc_now())

    async def count(self, unit):
        who = Counter(new_id(), "crowd", is_owner=True)
        made = await count.open_count(unit, self.place(), SKUS, note=None, who=who, now=utc_now())
        found = {sku: self.rng.randint(10, 30) for sku in SKUS}
        await count.note_counted(unit, made, found, who=who, now=utc_now())
        await count.approve_count(unit, made, who=who, now=utc_now())

    async def load(self, unit):
        pairs = [(sku, place) for sku in SKUS for place in WAREHOUSES]
        self.rng.shuffle(pairs)
        rows = [StockRow(n, *pair, self.rng.randint(0, 40)) for n, pair in enumerate(pairs[:4], start=2)]
        options = ImportOptions(ImportKind.STOCK, self.rng.choice([ImportMode.SET, ImportMode.ADD]))
        await import_stock(unit, rows, ImportWork(new_id(), "crowd", options), now=utc_now())

    async def hold(self, unit):
        asked = HoldStock(
            HoldKind.CART, dict.fromkeys(self.rng.sample(SKUS, 2), 1), "crowd", lasts=timedelta(minutes=1)
        )
        self.holds.append((await hold_stock(unit, asked, now=utc_now())).id)

    async def end_hold(self, unit):
        if self.holds:
            chosen = self.rng.choice(self.holds)
            step = self.rng.randrange(3)
            if step == 0:
                await release_hold(unit, chosen, actor="crowd", now=utc_now())
            elif step == 1:
                known = [order_id for order_id, _ in self.orders] + [new_id()]
                await convert_hold(unit, chosen, self.rng.choice(known), now=utc_now())
            else:
                await expire_holds(unit, limit=self.rng.randint(1, 5), now=utc_now() + timedelta(minutes=2))

    async def verify(self, unit):
        found = await verify_stock(unit, Verify("crowd", "crowd", repair=True), now=utc_now())
        assert found.found == 0

    async def change(self, unit):
        thresholds = {"reorder_point": self.rng.randint(0, 20)}
        await set_thresholds(unit, self.sku(), self.place(), thresholds, now=utc_now())

    async def switch(self, unit):
        values = {"active": self.rng.random() < 0.5}
        if self.rng.random() < 0.5:
            await change_sku(unit, self.sku(), values, now=utc_now())
        else:
            await change_warehouse(unit, self.place(), values, now=utc_now())


async def test_everything_at_once_neither_deadlocks_nor_drifts(merchant):
    await merchant.stock({(sku, place): 30 for sku in SKUS for place in WAREHOUSES})
    crowd = Crowd(merchant, seed=15)
    often = [crowd.reserve] * 90 + [crowd.ship] * 40 + [crowd.adjust, crowd.set_aside, crowd.draft, crowd.arrive] * 30
    often += [crowd.hold, crowd.end_hold] * 40
    kinds = often + [crowd.count, crowd.load, crowd.verify, crowd.change, crowd.switch] * 15
    crowd.rng.shuffle(kinds)
    gate = asyncio.Semaphore(8)

    async def one(kind):
        async with gate:
            try:
                async with merchant.inventory.runtime.units.begin(merchant.organization_id) as unit:
                    await kind(unit)
            except RappitError:
                crowd.refused += 1

    await asyncio.gather(*(one(kind) for kind in kinds))
    assert crowd.refused < len(kinds) / 2
    await merchant.assert_ledger_matches()
    assert (await merchant.post("/verifications", {}))["found"] == 0
    [row] = await merchant.sql(
        "SELECT count(*) AS n FROM transfer_lines l JOIN transfers t ON t.organization_id = l.organization_id"
        " AND t.id = l.transfer_id WHERE l.organization_id = $1 AND t.status <> 'sent' AND l.quantity_in_transit > 0",
        merchant.organization_id,
    )
    assert row["n"] == 0
