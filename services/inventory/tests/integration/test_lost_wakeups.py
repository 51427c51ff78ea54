"""An order never waits for what has come: whoever decides last sees the other."""

import asyncio

import pytest
from rappit_common.clock import new_id, utc_now
from rappit_common.testing.waiting import eventually
from rappit_inventory.domain.imports import ImportKind, ImportMode, ImportOptions, ImportWork
from rappit_inventory.domain.stock_file import StockRow
from rappit_inventory.repository.catalogue import NewSku
from rappit_inventory.service.adjust import Adjustment, adjust_stock
from rappit_inventory.service.catalogue import add_skus
from rappit_inventory.service.import_stock import import_stock
from rappit_inventory.service.reserve import OrderVersion, reserve_orders

pytestmark = pytest.mark.server
ROUNDS = 25


async def test_orders_race_the_first_stock_and_the_sku_itself(merchant):
    await merchant.stock({("OTHER", "BER"): 1})
    units, organization_id = merchant.inventory.runtime.units, merchant.organization_id

    async def order(sku):
        async with units.begin(organization_id) as unit:
            await reserve_orders(unit, [OrderVersion(new_id(), 1, ((sku, 1),))], now=utc_now())

    async def know(sku):
        async with units.begin(organization_id) as unit:
            await add_skus(unit, [NewSku(sku, sku)], now=utc_now())

    async def adjust(sku):
        async with units.begin(organization_id) as unit:
            await adjust_stock(unit, Adjustment(sku, "BER", 2, "came", "tester"), now=utc_now())

    async def load(sku):
        async with units.begin(organization_id) as unit:
            work = ImportWork(new_id(), "tester", ImportOptions(ImportKind.STOCK, ImportMode.SET))
            await import_stock(unit, [StockRow(2, sku, "BER", 2)], work, now=utc_now())

    for number in range(ROUNDS):
        sku = f"NEW-{number}"
        await asyncio.gather(order(sku), know(sku), order(sku))
        await asyncio.gather(order(sku), (adjust if number % 2 else load)(sku), order(sku))

    async def served():
        rows = await merchant.sql(
            "SELECT status, count(*) AS n FROM demands WHERE organization_id = $1 GROUP BY status", organization_id
        )
        return {row["status"]: row["n"] for row in rows} == {"reserved": 2 * ROUNDS, "backordered": 2 * ROUNDS}

    await eventually(served, what="all that has come is given out, and nobody is on hold")
    await merchant.assert_ledger_matches()
