"""Counts: what was found changes levels when somebody agrees, and what moved meanwhile is not lost."""

import asyncio
from uuid import UUID

import pytest
from rappit_common.clock import utc_now
from rappit_common.web.auth import Role
from rappit_inventory.service.reserve import OrderVersion, reserve_orders

pytestmark = pytest.mark.server


async def counted(merchant, found, warehouse="BER", headers=None):
    made = await merchant.post("/counts", {"warehouse_code": warehouse, "skus": list(found)})
    lines = [{"sku": sku, "quantity": quantity} for sku, quantity in found.items()]
    await merchant.post(f"/counts/{made['id']}/lines", {"lines": lines}, method="PUT", headers=headers or {})
    return f"/counts/{made['id']}"


async def test_difference_is_applied_to_the_level_as_it_is_at_approval(merchant):
    await merchant.stock({("A", "BER"): 10, ("B", "BER"): 3, ("C", "BER"): 1})
    path = await counted(merchant, {"A": 8, "B": 3, "c": 4})
    assert await merchant.levels(sku="A") == {("A", "BER"): (10, 0, 10)}
    await merchant.adjust("A", "BER", 5)
    order = merchant.order({"A": 2})
    await merchant.publish([order])
    await merchant.until(order["order_id"], "reserved")
    found = await merchant.get(path)
    assert {x["sku"]: (x["quantity_expected"], x["difference"]) for x in found["lines"]} == {
        "A": (10, -2),
        "B": (3, 0),
        "C": (1, 3),
    }
    for _ in range(2):
        done = await merchant.post(f"{path}/approve", {}, role=Role.OWNER)
    assert done["status"] == "approved"
    assert await merchant.levels() == {("A", "BER"): (13, 2, 11), ("B", "BER"): (3, 0, 3), ("C", "BER"): (4, 0, 4)}
    rows = (await merchant.get("/ledger", kind="count"))["items"]
    assert sorted((x["sku"], x["total_after"] - x["total_before"]) for x in rows) == [("A", -2), ("C", 3)]
    await merchant.refused(f"{path}/cancel", {}, 409, "document_closed")
    await merchant.assert_ledger_matches()


async def test_who_counted_does_not_approve_unless_it_is_the_owner(merchant):
    await merchant.stock({("A", "BER"): 10})
    same = merchant.headers()
    path = await counted(merchant, {"A": 9}, headers=same)
    said = await merchant.refused(f"{path}/approve", {}, 403, "approval_by_another", headers=same)
    assert "somebody else" in said
    assert (await merchant.post(f"{path}/approve", {}))["status"] == "approved"
    owner = merchant.headers(Role.OWNER)
    path = await counted(merchant, {"A": 8}, headers=owner)
    assert (await merchant.post(f"{path}/approve", {}, headers=owner))["status"] == "approved"
    assert await merchant.levels() == {("A", "BER"): (8, 0, 8)}


async def test_count_that_leaves_less_than_is_promised_is_refused_whole(merchant):
    await merchant.stock({("A", "BER"): 5, ("B", "BER"): 5})
    order = merchant.order({"A": 4})
    await merchant.publish([order])
    await merchant.until(order["order_id"], "reserved")
    path = await counted(merchant, {"A": 3, "B": 1})
    said = await merchant.refused(f"{path}/approve", {}, 409, "insufficient_stock")
    assert said.startswith("The count leaves 3 of SKU A in BER, but 4 are reserved")
    assert await merchant.levels(sku="B") == {("B", "BER"): (5, 0, 5)}
    assert (await merchant.get(path))["status"] == "open"


async def test_count_is_approved_once_all_of_it_was_counted(merchant):
    await merchant.stock({("A", "BER"): 5, ("B", "BER"): 5})
    made = await merchant.post("/counts", {"warehouse_code": "BER", "skus": ["A", "B"], "note": "aisle 3"})
    path = f"/counts/{made['id']}"
    await merchant.post(f"{path}/lines", {"lines": [{"sku": "A", "quantity": 5}]}, method="PUT")
    said = await merchant.refused(f"{path}/approve", {}, 409, "not_counted", role=Role.OWNER)
    assert said == "Not counted yet: SKU B."
    await merchant.stock({("C", "BER"): 1})
    body = {"lines": [{"sku": "C", "quantity": 5}]}
    await merchant.refused(f"{path}/lines", body, 404, "unknown_sku", method="PUT")
    await merchant.inventory.merchant().refused(f"{path}/approve", {}, 404, "unknown_document")
    for _ in range(2):
        assert (await merchant.post(f"{path}/cancel", {}))["status"] == "cancelled"
    await merchant.refused(f"{path}/approve", {}, 409, "document_closed", role=Role.OWNER)
    assert [x["note"] for x in (await merchant.get("/counts", status="cancelled"))["items"]] == ["aisle 3"]


async def test_counts_beside_reservations_lose_neither(merchant):
    await merchant.stock({("A", "BER"): 100})
    units = merchant.inventory.runtime.units

    async def reserve(number):
        order = OrderVersion(UUID(int=number + 1), 1, (("A", 1),))
        async with units.begin(merchant.organization_id) as unit:
            await reserve_orders(unit, [order], now=utc_now())

    async def count(found):
        path = await counted(merchant, {"A": found})
        await merchant.post(f"{path}/approve", {}, role=Role.OWNER)

    await asyncio.gather(*(reserve(number) for number in range(30)), *(count(100) for _ in range(5)))
    assert await merchant.levels() == {("A", "BER"): (100, 30, 70)}
    await merchant.assert_ledger_matches()
