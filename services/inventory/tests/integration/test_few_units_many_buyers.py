"""What there is is sold to the last unit and not once more, and whoever gets none is told what there is."""

import asyncio
import random

import pytest
from rappit_common.clock import new_id, utc_now
from rappit_common.errors import RappitError
from rappit_common.testing.waiting import eventually
from rappit_inventory.domain.allocation import Strategy
from rappit_inventory.domain.policy import StockPolicy
from rappit_inventory.service import intervene, transfer
from rappit_inventory.service.adjust import Adjustment, adjust_stock
from rappit_inventory.service.intervene import Act, Move
from rappit_inventory.service.reserve import OrderVersion, fill_waiting, reserve_orders
from rappit_inventory.service.settings import choose_policy

pytestmark = pytest.mark.server

BUYERS, UNITS = 500, 100
SKUS, WAREHOUSES = ["A", "B", "C"], ["BER", "LYS"]
ACT = Act("crowd", "crowd")


async def assert_sold_out(merchant):
    answers = {}
    for answer in await merchant.told("inventory.reservation-changed.v1"):
        answers.setdefault(answer["order_id"], []).append(answer)
    assert len(answers) == BUYERS
    # Each was answered once: nobody was promised what another had.
    told = [only for [only] in answers.values()]
    sold = [x for x in told if x["status"] == "reserved"]
    assert len(sold) == UNITS == sum(line["quantity"] for x in sold for line in x["allocations"])
    for refused in (x for x in told if x["status"] != "reserved"):
        assert (refused["status"], refused["reason"]) == ("backordered", "insufficient_stock")
        assert refused["shortages"] == [{"sku": "HOT", "requested": 1, "available": 0}]
        assert refused["message"] == "Insufficient stock: SKU HOT needs 1, 0 available."
    levels = (await merchant.levels()).values()
    assert (sum(level[1] for level in levels), sum(level[2] for level in levels)) == (UNITS, 0)
    await merchant.assert_ledger_matches()


@pytest.mark.parametrize("strategy", list(Strategy))
async def test_five_hundred_orders_over_the_broker_for_a_hundred_units(merchant, strategy):
    await merchant.stock({("HOT", "BER"): 60, ("HOT", "LYS"): 40})
    await merchant.post("/settings", {"allocation_strategy": strategy}, method="PUT")
    await merchant.publish(merchant.order({"HOT": 1}) for _ in range(BUYERS))

    async def answered():
        return len(await merchant.told("inventory.reservation-changed.v1")) == BUYERS

    await eventually(answered, what="an answer to every buyer", within_s=60)
    await assert_sold_out(merchant)


@pytest.mark.parametrize("partial", [False, True])
async def test_five_hundred_buyers_at_once_for_a_hundred_units(merchant, partial):
    await merchant.stock({("HOT", "BER"): 60, ("HOT", "LYS"): 40})
    units, organization_id = merchant.inventory.runtime.units, merchant.organization_id
    await merchant.post("/settings", {"partial_reservations": partial}, method="PUT")
    gate = asyncio.Semaphore(8)

    async def buy():
        async with gate, units.begin(organization_id) as unit:
            await reserve_orders(unit, [OrderVersion(new_id(), 1, (("HOT", 1),))], now=utc_now())

    await asyncio.gather(*(buy() for _ in range(BUYERS)))
    await assert_sold_out(merchant)


class Crowd:
    """Does one of everything that concerns reservations; refusals are part of the trade."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.orders = {new_id(): 0 for _ in range(60)}
        self.transfers = []

    def order(self):
        return self.rng.choice(list(self.orders))

    def sku(self):
        return self.rng.choice(SKUS)

    def demand(self):
        return tuple((sku, self.rng.randint(1, 4)) for sku in self.rng.sample(SKUS, self.rng.randint(0, 3)))

    async def reserve(self, unit):
        batch = []
        for order_id in self.rng.sample(list(self.orders), 5):
            self.orders[order_id] += 1
            batch.append(OrderVersion(order_id, self.orders[order_id], self.demand()))
        await reserve_orders(unit, batch, now=utc_now())

    async def cancel(self, unit):
        order_id = self.order()
        self.orders[order_id] += 1
        await reserve_orders(unit, [OrderVersion(order_id, self.orders[order_id], ())], now=utc_now())

    async def adjust(self, unit):
        change = Adjustment(self.sku(), self.rng.choice(WAREHOUSES), self.rng.choice([-5, -1, 2, 5]), "crowd", "crowd")
        await adjust_stock(unit, change, now=utc_now())

    async def transfer(self, unit):
        source, target = self.rng.sample(WAREHOUSES, 2)
        planned = {sku: self.rng.randint(1, 3) for sku in self.rng.sample(SKUS, 2)}
        made = await transfer.draft_transfer(unit, source, target, planned, note=None, actor="crowd", now=utc_now())
        await transfer.send_transfer(unit, made, actor="crowd", now=utc_now())
        await transfer.receive_transfer(unit, made, None, actor="crowd", now=utc_now())

    async def move(self, unit):
        move = Move(self.sku(), *self.rng.sample(WAREHOUSES, 2), self.rng.randint(1, 2))
        await intervene.move_reservation(unit, self.order(), move, ACT, now=utc_now())

    async def force_release(self, unit):
        await intervene.release_reservation(unit, self.order(), ACT, now=utc_now())

    async def resume(self, unit):
        await intervene.resume_reservation(unit, self.order(), ACT, now=utc_now())

    async def prioritise(self, unit):
        await intervene.set_priority(unit, self.order(), self.rng.choice([1, 100, 900]), ACT, now=utc_now())

    async def fill(self, unit):
        ids = await unit.catalogue.resolve(SKUS)
        await fill_waiting(unit, list(ids.values()), None, now=utc_now())

    async def choose(self, unit):
        policy = StockPolicy(self.rng.choice(list(Strategy)), self.rng.random() < 0.5)
        await choose_policy(unit, policy, actor="crowd", now=utc_now())


async def deadlocks(merchant):
    [row] = await merchant.sql("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    return row["deadlocks"]


@pytest.mark.parametrize("seed", [4, 2026])
async def test_hundreds_of_tasks_on_few_skus_neither_deadlock_nor_drift(merchant, seed):
    await merchant.stock({(sku, place): 25 for sku in SKUS for place in WAREHOUSES})
    crowd, before = Crowd(seed), await deadlocks(merchant)
    often = [crowd.reserve] * 120 + [crowd.move, crowd.adjust] * 60 + [crowd.force_release, crowd.resume] * 50
    kinds = often + [crowd.cancel, crowd.transfer, crowd.fill, crowd.prioritise] * 30 + [crowd.choose] * 8
    crowd.rng.shuffle(kinds)
    gate, done = asyncio.Semaphore(8), []

    async def one(kind):
        async with gate:
            try:
                async with merchant.inventory.runtime.units.begin(merchant.organization_id) as unit:
                    await kind(unit)
            except RappitError:
                return
            done.append(kind.__name__)

    await asyncio.gather(*(one(kind) for kind in kinds))
    assert set(done) == {kind.__name__ for kind in kinds}
    assert await deadlocks(merchant) == before
    await merchant.assert_ledger_matches()
    assert (await merchant.post("/verifications", {}))["found"] == 0
    [row] = await merchant.sql(
        "SELECT count(*) AS n FROM demands d JOIN allocations a USING (organization_id, order_id)"
        " WHERE organization_id = $1 AND a.quantity_reserved > 0"
        " AND (d.status IN ('on_hold', 'released') OR d.released_by IS NOT NULL)",
        merchant.organization_id,
    )
    assert row["n"] == 0
