"""1.2: two orders never get the same last item."""

import asyncio

from rappit_demo.client import until
from rappit_demo.merchant import import_stock

BUYERS = 30
UNITS = 4


async def test_thirty_buyers_for_four_units_sell_exactly_four(scene):
    await import_stock(scene.merchant, f"sku,quantity,warehouse_code\nSKU-0010,{UNITS},BER\n")
    orders = [scene.shop.create_order([("SKU-0010", 1, "9.00")]) for _ in range(BUYERS)]
    answers = await asyncio.gather(*(order.deliver() for order in orders))
    assert {answer.status_code for delivered in answers for answer in delivered} == {200}

    async def settled():
        rows = await scene.merchant.api.items("/orders", limit=200)
        states = [row["state"] for row in rows]
        return states if len(states) == BUYERS and "received" not in states else None

    states = await until(settled, what="every order to be answered")
    assert (states.count("reserved"), states.count("backordered")) == (UNITS, BUYERS - UNITS)
    assert await scene.merchant.level("SKU-0010") == {"total": UNITS, "reserved": UNITS, "available": 0}
