"""Stock that cannot be sold, and levels that run low."""

from uuid import UUID

import asyncpg
import pytest
from rappit_common.clock import utc_now
from rappit_common.web.auth import Role
from rappit_inventory.service.reserve import OrderVersion, reserve_orders

pytestmark = pytest.mark.server
LOW = "inventory.stock-low.v1"
CHANGED = "inventory.stock-changed.v1"


async def reserve(merchant, demand, order_id=None, version=1):
    order = merchant.order(demand, version, order_id)
    found = OrderVersion(UUID(order["order_id"]), version, tuple(demand.items()))
    async with merchant.inventory.runtime.units.begin(merchant.organization_id) as unit:
        await reserve_orders(unit, [found], now=utc_now())
    return found.order_id


def move(quantity, came_from, goes_to, sku="A", warehouse="BER"):
    return {
        "sku": sku,
        "warehouse_code": warehouse,
        "quantity": quantity,
        "from_state": came_from,
        "to_state": goes_to,
        "reason": "fell off the shelf",
        "reason_code": "damage",
    }


async def test_damaged_and_quarantined_units_stay_on_hand_and_are_sold_to_nobody(merchant):
    await merchant.stock({("A", "BER"): 10})
    level = await merchant.post("/state-moves", move(3, "sellable", "damaged"))
    assert (level["quantity_total"], level["quantity_available"], level["quantity_damaged"]) == (10, 7, 3)
    level = await merchant.post("/state-moves", move(2, "damaged", "quarantined"))
    assert (level["quantity_damaged"], level["quantity_quarantined"], level["quantity_unavailable"]) == (1, 2, 3)
    order_id = await reserve(merchant, {"A": 8})
    assert (await merchant.reservation(order_id))["message"] == "Insufficient stock: SKU A needs 8, 7 available."
    await merchant.post("/state-moves", move(1, "quarantined", "sellable"))
    await merchant.until(order_id, "reserved")
    assert await merchant.levels() == {("A", "BER"): (10, 8, 0)}
    await merchant.assert_ledger_matches()


async def test_no_more_than_what_is_in_a_state_leaves_it(merchant):
    await merchant.stock({("A", "BER"): 3})
    await reserve(merchant, {"A": 2})
    said = await merchant.refused("/state-moves", move(2, "sellable", "damaged"), 409, "insufficient_stock")
    assert said == "Insufficient stock for SKU A: 2 requested, 1 available in BER."
    said = await merchant.refused("/state-moves", move(1, "damaged", "sellable"), 409, "insufficient_stock")
    assert said == "Insufficient stock for SKU A: 1 requested, 0 damaged in BER."
    await merchant.refused("/state-moves", move(1, "damaged", "damaged"), 422, "validation_error")
    await merchant.refused("/state-moves", move(1, "sellable", "damaged"), 403, "missing_role", role=Role.VIEWER)


@pytest.mark.parametrize(
    "change",
    [
        "quantity_damaged = -1, quantity_available = quantity_available + 1",
        "quantity_quarantined = -1, quantity_available = quantity_available + 1",
        "quantity_damaged = 1",
        "quantity_damaged = 6, quantity_available = -1",
        "safety_stock = -1",
        "reorder_point = -1",
    ],
)
async def test_database_refuses_what_does_not_add_up(merchant, change):
    await merchant.stock({("A", "BER"): 5})
    with pytest.raises(asyncpg.CheckViolationError):
        await merchant.sql(
            f"UPDATE inventory_levels SET {change} WHERE organization_id = $1",  # noqa: S608 - literals of this test
            merchant.organization_id,
        )


async def test_import_leaves_unavailable_units_as_they_are(merchant):
    await merchant.stock({("A", "BER"): 10})
    await merchant.post("/state-moves", move(4, "sellable", "damaged"))
    rows = [{"sku": "A", "warehouse_code": "BER", "quantity": 3}]
    answer = await merchant.post("/bulk", {"items": rows})
    assert answer["errors"][0]["code"] == "below_reserved"
    assert "4 unavailable" in answer["errors"][0]["message"]
    await merchant.stock({("A", "BER"): 6})
    assert await merchant.levels() == {("A", "BER"): (6, 0, 2)}
    [row] = (await merchant.get("/ledger", kind="import", limit=1))["items"]
    assert (row["damaged_before"], row["damaged_after"], row["available_after"]) == (4, 4, 2)
    await merchant.assert_ledger_matches()


async def test_import_that_adds_raises_what_can_be_sold_beside_unavailable_units(merchant):
    await merchant.stock({("A", "BER"): 5})
    await merchant.post("/state-moves", move(2, "sellable", "quarantined"))
    rows = [{"sku": "A", "warehouse_code": "BER", "quantity": 3}]
    await merchant.post("/bulk", {"items": rows}, params={"mode": "add"})
    assert await merchant.levels() == {("A", "BER"): (8, 0, 6)}
    assert (await merchant.told(CHANGED))[-1]["changes"][0]["available"] == 6
    await merchant.assert_ledger_matches()


async def test_import_of_a_sku_that_is_not_active_tells_that_none_may_be_sold(merchant):
    await merchant.stock({("A", "BER"): 5})
    await merchant.post("/skus/A", {"active": False}, method="PATCH")
    await merchant.stock({("A", "BER"): 7})
    [change] = (await merchant.told(CHANGED))[-1]["changes"]
    assert (change["on_hand"], change["available"]) == (7, 0)


async def test_low_stock_is_told_once_each_time_it_is_reached(merchant):
    await merchant.stock({("A", "BER"): 10, ("B", "BER"): 10})
    body = {"sku": "a", "warehouse_code": "ber", "reorder_point": 5}
    await merchant.post("/levels", body, method="PATCH")
    assert await merchant.told(LOW) == []
    await merchant.adjust("A", "BER", -4)
    assert await merchant.told(LOW) == []
    await reserve(merchant, {"A": 1})
    [event] = await merchant.told(LOW)
    assert event["levels"] == [{"sku": "A", "warehouse_code": "BER", "available": 5, "reorder_point": 5}]
    await merchant.adjust("A", "BER", -1)
    assert len(await merchant.told(LOW)) == 1
    await merchant.adjust("A", "BER", 2)
    await merchant.adjust("A", "BER", -1)
    assert len(await merchant.told(LOW)) == 2
    page = await merchant.get("/levels", low_stock=True)
    assert [(x["sku"], x["is_low"], x["reorder_point"]) for x in page["items"]] == [("A", True, 5)]


async def test_import_tells_of_the_levels_it_brings_down(merchant):
    await merchant.stock({(sku, "BER"): 10 for sku in "ABC"})
    for sku in "AB":
        await merchant.post("/levels", {"sku": sku, "warehouse_code": "BER", "reorder_point": 5}, method="PATCH")
    await merchant.stock({("A", "BER"): 5, ("B", "BER"): 6, ("C", "BER"): 0})
    [event] = await merchant.told(LOW)
    assert event["levels"] == [{"sku": "A", "warehouse_code": "BER", "available": 5, "reorder_point": 5}]
    await merchant.stock({("A", "BER"): 4, ("B", "BER"): 6})
    assert len(await merchant.told(LOW)) == 1


async def test_reorder_point_above_what_is_there_is_told_at_once(merchant):
    await merchant.stock({("A", "BER"): 3})
    body = {"sku": "A", "warehouse_code": "BER", "reorder_point": 3}
    for _ in range(2):
        await merchant.post("/levels", body, method="PATCH")
    assert len(await merchant.told(LOW)) == 1
    await merchant.post("/levels", {**body, "reorder_point": None}, method="PATCH")
    assert (await merchant.get("/levels", low_stock=True))["items"] == []
    await merchant.refused("/levels", {"sku": "A", "warehouse_code": "BER"}, 422, "validation_error", method="PATCH")


async def test_safety_stock_is_kept_from_channels_and_not_from_orders(merchant):
    await merchant.stock({("A", "BER"): 5, ("A", "LYS"): 1})
    for code in ("BER", "LYS"):
        await merchant.post("/levels", {"sku": "A", "warehouse_code": code, "safety_stock": 2}, method="PATCH")
    found = await merchant.get("/availability/a")
    assert (found["available"], found["for_channels"]) == (6, 3)
    order_id = await reserve(merchant, {"A": 6})
    assert (await merchant.reservation(order_id))["status"] == "reserved"


async def test_reason_of_an_adjustment_stands_in_the_ledger(merchant):
    await merchant.stock({("A", "BER"): 5})
    body = {"sku": "A", "warehouse_code": "BER", "delta": -2, "reason": "camera 3", "reason_code": "theft"}
    await merchant.post("/adjustments", body)
    [row] = (await merchant.get("/ledger", kind="adjust"))["items"]
    assert (row["reason_code"], row["reason"], row["total_before"], row["total_after"]) == ("theft", "camera 3", 5, 3)
    await merchant.refused("/adjustments", {**body, "reason_code": "whim"}, 422, "validation_error")
