"""Goods that come back: at most what was shipped, and for others to have."""

import asyncio
from uuid import UUID

import pytest
from rappit_common.clock import new_id, utc_now
from rappit_inventory.service.reserve import OrderVersion, reserve_orders
from rappit_inventory.service.ship import ShipmentVersion, apply_shipment

pytestmark = pytest.mark.server


async def shipped(merchant, **demand):
    order_id, shipment_id = new_id(), new_id()
    units = merchant.inventory.runtime.units
    async with units.begin(merchant.organization_id) as unit:
        await reserve_orders(unit, [OrderVersion(order_id, 1, tuple(demand.items()))], now=utc_now())
    await ship(merchant, order_id, shipment_id, 1, "labelled", demand)
    return order_id, shipment_id


async def ship(merchant, order_id, shipment_id, version, status, demand):
    shipment = ShipmentVersion(shipment_id, order_id, version, status, None, tuple(demand.items()))
    async with merchant.inventory.runtime.units.begin(merchant.organization_id) as unit:
        await apply_shipment(unit, shipment, now=utc_now())


def body(order_id, quantity, condition="sellable", **more):
    line = {"sku": "A", "quantity": quantity, "condition": condition, **more}
    return {"order_id": str(order_id), "lines": [line], "reason": "too small"}


async def test_sellable_units_are_free_and_damaged_ones_set_aside(merchant):
    await merchant.stock({("A", "BER"): 5})
    order_id, _ = await shipped(merchant, A=4)
    waiting = merchant.order({"A": 3})
    await merchant.publish([waiting])
    await merchant.until(waiting["order_id"], "backordered")
    made = await merchant.post("/returns", body(order_id, 2))
    await merchant.until(waiting["order_id"], "reserved")
    await merchant.post("/returns", body(order_id, 1, "damaged"))
    [level] = (await merchant.get("/levels"))["items"]
    assert (level["quantity_total"], level["quantity_reserved"], level["quantity_damaged"]) == (4, 3, 1)
    found = await merchant.reservation(order_id)
    assert (found["status"], found["allocations"][0]["quantity"]) == ("reserved", 4)
    page = await merchant.get("/ledger", source_id=made["id"])
    assert [(x["kind"], x["reason"]) for x in page["items"]] == [("return", "too small")]
    assert len((await merchant.get("/returns", order_id=order_id))["items"]) == 2
    await merchant.assert_ledger_matches()


async def test_no_more_comes_back_than_was_shipped(merchant):
    await merchant.stock({("A", "BER"): 5})
    order_id, _ = await shipped(merchant, A=4)
    answers = await asyncio.gather(*(merchant.call("POST", "/returns", json=body(order_id, 3)) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    said = await merchant.refused("/returns", body(order_id, 2), 409, "not_shipped")
    assert said == f"Order {order_id} has 1 of SKU A shipped and not returned; 2 cannot come back."
    await merchant.refused("/returns", body(new_id(), 1), 404, "unknown_reservation")
    await merchant.inventory.merchant().refused("/returns", body(order_id, 1), 404, "unknown_sku")
    assert await merchant.levels() == {("A", "BER"): (4, 0, 4)}


async def test_return_may_go_to_another_warehouse(merchant):
    await merchant.stock({("A", "BER"): 5, ("B", "LYS"): 0})
    order_id, _ = await shipped(merchant, A=4)
    await merchant.post("/returns", body(order_id, 4, warehouse_code="lys"))
    assert await merchant.levels(sku="A") == {("A", "BER"): (1, 0, 1), ("A", "LYS"): (4, 0, 4)}
    await merchant.assert_ledger_matches()


async def test_void_does_not_bring_back_what_came_back_already(merchant):
    await merchant.stock({("A", "BER"): 5})
    order_id, shipment_id = await shipped(merchant, A=4)
    await merchant.post("/returns", body(order_id, 3, "damaged"))
    await ship(merchant, order_id, shipment_id, 2, "voided", {"A": 4})
    [level] = (await merchant.get("/levels"))["items"]
    # Of five, three are damaged: the order wants four again and cannot have them.
    assert (level["quantity_total"], level["quantity_reserved"], level["quantity_damaged"]) == (5, 0, 3)
    assert (await merchant.reservation(UUID(str(order_id))))["status"] == "backordered"
    await merchant.assert_ledger_matches()
