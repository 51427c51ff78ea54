"""Whatever happens at once, nothing is oversold, nothing deadlocks, and the ledger adds up."""

import asyncio
import random
from uuid import UUID

import pytest
from rappit_common.clock import new_id, utc_now
from rappit_common.testing.waiting import eventually
from rappit_inventory.consumers import make_reservation_batcher
from rappit_inventory.domain.errors import InsufficientStockError
from rappit_inventory.domain.imports import ImportKind, ImportMode, ImportOptions, ImportWork
from rappit_inventory.domain.stock_file import StockRow
from rappit_inventory.service.adjust import Adjustment, adjust_stock
from rappit_inventory.service.import_stock import import_stock
from rappit_inventory.service.reserve import OrderVersion, fill_waiting, reserve_orders

pytestmark = pytest.mark.server


def version(demand, number=1, order_id=None):
    return OrderVersion(order_id or new_id(), number, tuple(demand.items()))


async def statuses(merchant):
    rows = await merchant.sql(
        "SELECT status, count(*) AS n FROM demands WHERE organization_id = $1 GROUP BY status", merchant.organization_id
    )
    return {row["status"]: row["n"] for row in rows}


async def test_five_hundred_buyers_for_a_hundred_units(merchant):
    await merchant.stock({("HOT", "BER"): 60, ("HOT", "LYS"): 40})
    batcher = make_reservation_batcher(merchant.inventory.runtime.units, max_orders=50)
    buyers = [version({"HOT": 1}) for _ in range(500)]
    await asyncio.gather(*(batcher.submit(merchant.organization_id, (str(new_id()), buyer)) for buyer in buyers))
    assert await statuses(merchant) == {"reserved": 100, "backordered": 400}
    assert await merchant.levels() == {("HOT", "BER"): (60, 60, 0), ("HOT", "LYS"): (40, 40, 0)}
    # First come, first served: the batches were formed in the order in which the buyers came.
    assert (await merchant.reservation(buyers[99].order_id))["status"] == "reserved"
    turned_away = await merchant.reservation(buyers[100].order_id)
    assert turned_away["message"] == "Insufficient stock: SKU HOT needs 1, 0 available."
    await merchant.assert_ledger_matches()


async def test_two_processes_sell_a_hundred_units_once(merchant):
    await merchant.stock({("HOT", "BER"): 100})
    units = merchant.inventory.runtime.units
    batchers = [make_reservation_batcher(units, max_orders=20) for _ in range(4)]
    await asyncio.gather(
        *(batchers[n % 4].submit(merchant.organization_id, (str(new_id()), version({"HOT": 1}))) for n in range(500))
    )
    assert await statuses(merchant) == {"reserved": 100, "backordered": 400}
    await merchant.assert_ledger_matches()


async def test_poison_order_does_not_fail_its_neighbours(merchant):
    await merchant.stock({("A", "BER"): 10})
    batcher = make_reservation_batcher(merchant.inventory.runtime.units)
    orders = [version({"A": 1}), version({"bad\x00code": 1}), version({"A": 1})]
    results = await asyncio.gather(
        *(batcher.submit(merchant.organization_id, (str(new_id()), order)) for order in orders), return_exceptions=True
    )
    assert [result is None for result in results] == [True, False, True]
    assert await statuses(merchant) == {"reserved": 2}


async def test_hundreds_of_mixed_tasks_on_few_skus_do_not_deadlock(merchant):
    skus, warehouses = ["A", "B", "C"], ["BER", "LYS"]
    await merchant.stock({(sku, warehouse): 20 for sku in skus for warehouse in warehouses})
    units, organization_id = merchant.inventory.runtime.units, merchant.organization_id
    rng = random.Random(4)
    orders = [new_id() for _ in range(60)]
    numbers = dict.fromkeys(orders, 0)
    refused = 0

    async def reserve():
        batch = []
        for order_id in rng.sample(orders, 5):
            numbers[order_id] += 1
            wanted = {sku: rng.randint(1, 4) for sku in rng.sample(skus, rng.randint(0, 3))}
            batch.append(version(wanted, numbers[order_id], order_id))
        async with units.begin(organization_id) as unit:
            await reserve_orders(unit, batch, now=utc_now())

    async def adjust():
        nonlocal refused
        change = Adjustment(rng.choice(skus), rng.choice(warehouses), rng.choice([-6, -1, 2, 5]), "count", "tester")
        try:
            async with units.begin(organization_id) as unit:
                await adjust_stock(unit, change, now=utc_now())
        except InsufficientStockError:
            refused += 1

    async def load():
        pairs = [(sku, warehouse) for sku in skus for warehouse in warehouses]
        rng.shuffle(pairs)
        rows = [StockRow(n, *pair, rng.randint(0, 40)) for n, pair in enumerate(pairs[:4], start=2)]
        work = ImportWork(
            new_id(), "tester", ImportOptions(ImportKind.STOCK, rng.choice([ImportMode.SET, ImportMode.ADD]))
        )
        async with units.begin(organization_id) as unit:
            await import_stock(unit, rows, work, now=utc_now())

    async def fill():
        async with units.begin(organization_id) as unit:
            ids = await unit.catalogue.resolve(skus)
            await fill_waiting(unit, list(ids.values()), None, now=utc_now())

    # As many at once as there are connections; each draws its work when its turn comes.
    gate = asyncio.Semaphore(8)

    async def one(kind):
        async with gate:
            await kind()

    kinds = [reserve] * 200 + [adjust] * 80 + [load] * 40 + [fill] * 40
    rng.shuffle(kinds)
    await asyncio.gather(*(one(kind) for kind in kinds))
    await merchant.assert_ledger_matches()
    rows = await merchant.sql(
        "SELECT d.status, sum(a.quantity_reserved) AS held FROM demands d LEFT JOIN allocations a"
        " USING (organization_id, order_id) WHERE organization_id = $1 GROUP BY d.organization_id, order_id",
        organization_id,
    )
    assert rows
    assert all(not row["held"] for row in rows if row["status"] != "reserved")


async def test_those_who_wait_are_filled_in_the_order_in_which_they_came(merchant):
    await merchant.stock({("A", "BER"): 0})
    units, organization_id = merchant.inventory.runtime.units, merchant.organization_id
    waiting = [version({"A": 2 if n == 1 else 1}) for n in range(450)]
    async with units.begin(organization_id) as unit:
        await reserve_orders(unit, waiting, now=utc_now())
    assert await statuses(merchant) == {"backordered": 450}
    assert (await merchant.adjust("A", "BER", 431)).status_code == 201

    async def filled():
        return await statuses(merchant) == {"reserved": 430, "backordered": 20}

    await eventually(filled, what="the line served in three steps")
    assert (await merchant.reservation(waiting[429].order_id))["status"] == "reserved"
    assert (await merchant.reservation(waiting[430].order_id))["status"] == "backordered"
    await merchant.assert_ledger_matches()


async def test_newcomer_does_not_pass_those_who_wait(merchant):
    await merchant.stock({("A", "BER"): 0})
    units, organization_id = merchant.inventory.runtime.units, merchant.organization_id
    patient, newcomer = version({"A": 1}), version({"A": 1})
    async with units.begin(organization_id) as unit:
        await reserve_orders(unit, [patient], now=utc_now())
    # Stock arrives, but the step that serves the line has not run: as if the worker were down.
    await merchant.sql(
        "UPDATE inventory_levels SET quantity_total = 1, quantity_available = 1 WHERE organization_id = $1",
        organization_id,
    )
    async with units.begin(organization_id) as unit:
        await reserve_orders(unit, [newcomer], now=utc_now())
    assert (await merchant.reservation(patient.order_id))["status"] == "reserved"
    assert (await merchant.reservation(newcomer.order_id))["status"] == "backordered"


async def test_order_is_only_in_the_line_of_the_skus_it_is_short_of(merchant):
    await merchant.stock({("A", "BER"): 50, ("B", "BER"): 1, ("C", "BER"): 0})
    units, organization_id = merchant.inventory.runtime.units, merchant.organization_id
    short, held = version({"A": 1, "B": 2, "C": 1}), version({"A": 1, "UNKNOWN": 1})
    async with units.begin(organization_id) as unit:
        await reserve_orders(unit, [short, held], now=utc_now())
    lines = await merchant.sql(
        "SELECT sku_code, quantity_open FROM demand_lines WHERE organization_id = $1 AND waiting_since IS NOT NULL"
        " ORDER BY sku_code",
        organization_id,
    )
    assert [tuple(line) for line in lines] == [("B", 2), ("C", 1), ("UNKNOWN", 0)]
    assert (await merchant.adjust("B", "BER", 1)).status_code == 201

    async def answered():
        return (await merchant.reservation(short.order_id))["reservation_version"] == 2

    await eventually(answered, what="the answer that only C is short now")
    found = await merchant.reservation(short.order_id)
    assert found["message"] == "Insufficient stock: SKU C needs 1, 0 available."
    async with units.begin(organization_id) as unit:
        known = await unit.catalogue.resolve(["A", "B"])
        assert await unit.demands.fillable(known.values(), limit=10) == []
    # B was sold to somebody else meanwhile: the order waits for it again, and gets it in the end.
    async with units.begin(organization_id) as unit:
        await reserve_orders(unit, [version({"B": 2})], now=utc_now())
    assert (await merchant.adjust("C", "BER", 1)).status_code == 201
    await eventually(lambda: shortage(merchant, short.order_id, "B"))
    assert (await merchant.adjust("B", "BER", 2)).status_code == 201
    await merchant.until(short.order_id, "reserved")
    await merchant.assert_ledger_matches()


async def shortage(merchant, order_id, sku):
    return [x["sku"] for x in (await merchant.reservation(order_id))["shortages"]] == [sku]


async def test_released_stock_goes_to_those_who_wait(merchant):
    await merchant.stock({("A", "BER"): 3})
    first, second = merchant.order({"A": 3}), merchant.order({"A": 2})
    await merchant.publish([first])
    await merchant.until(UUID(first["order_id"]), "reserved")
    await merchant.publish([second])
    await merchant.until(UUID(second["order_id"]), "backordered")
    await merchant.publish([{**first, "order_version": 2, "demand": []}], "orders.order-cancelled.v1")
    await merchant.until(UUID(second["order_id"]), "reserved")
    await merchant.assert_ledger_matches()


async def test_a_batch_takes_as_many_statements_as_one_order(merchant):
    from sqlalchemy import event  # noqa: PLC0415 - needed here only

    await merchant.stock({(f"S{n}", "BER"): 1_000 for n in range(20)})
    units, organization_id = merchant.inventory.runtime.units, merchant.organization_id
    engine = merchant.inventory.runtime.database.engine.sync_engine
    counts = []
    for size in (1, 150):
        seen = []

        def note(_connection, _cursor, statement, *_rest, seen=seen):
            seen.append(statement)

        async with units.begin(organization_id) as unit:
            own = await unit.session.connection()
            event.listen(own.sync_connection, "before_cursor_execute", note)
            orders = [version({f"S{n % 20}": 1, f"S{(n + 1) % 20}": 2}) for n in range(size)]
            await unit.inbox.claim_many("test", [str(new_id()) for _ in orders])
            await reserve_orders(unit, orders, now=utc_now())
            await unit.outbox.flush()
        counts.append(len(seen))
    assert engine is not None
    assert counts[0] == counts[1] <= 16
