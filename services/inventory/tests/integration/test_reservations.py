"""Orders come over the broker, and stock is promised once."""

from uuid import UUID

import pytest
from rappit_common.clock import new_id

pytestmark = pytest.mark.server


async def test_order_is_reserved_and_answered(merchant):
    await merchant.stock({("TEE-M", "BER"): 10})
    order = merchant.order({"tee-m": 3})
    await merchant.publish([order])
    found = await merchant.until(UUID(order["order_id"]), "reserved")
    assert found["allocations"] == [{"sku": "tee-m", "warehouse_code": "BER", "quantity": 3}]
    assert (found["order_version"], found["reservation_version"], found["message"]) == (1, 1, None)
    assert await merchant.levels() == {("TEE-M", "BER"): (10, 3, 7)}
    [row] = await merchant.sql(
        "SELECT body FROM outbox WHERE organization_id = $1 AND event = 'inventory.reservation-changed.v1'",
        merchant.organization_id,
    )
    assert b'"status":"reserved"' in row["body"]
    await merchant.assert_ledger_matches()


async def test_versions_converge_and_an_empty_demand_releases_all_once(merchant):
    await merchant.stock({("A", "BER"): 10, ("B", "BER"): 10, ("A", "LYS"): 10})
    order_id = new_id()
    first = merchant.order({"A": 2, "B": 1}, 1, order_id)
    await merchant.publish([first])
    await merchant.until(order_id, "reserved", 1)
    await merchant.publish([merchant.order({"A": 5}, 3, order_id)])
    await merchant.until(order_id, "reserved", 3)
    await merchant.publish([merchant.order({"A": 1, "B": 9}, 2, order_id), first])
    await merchant.publish([merchant.order({}, 4, order_id)] * 2)
    found = await merchant.until(order_id, "released", 4)
    assert found["reservation_version"] == 3
    assert {level[1] for level in (await merchant.levels()).values()} == {0}
    await merchant.assert_ledger_matches()


async def test_shortage_says_what_is_there_and_is_filled_when_stock_comes(merchant):
    await merchant.stock({("A", "BER"): 2})
    order = merchant.order({"A": 5})
    order_id = UUID(order["order_id"])
    await merchant.publish([order])
    found = await merchant.until(order_id, "backordered")
    assert found["message"] == "Insufficient stock: SKU A needs 5, 2 available."
    assert found["shortages"] == [{"sku": "A", "requested": 5, "available": 2}]
    assert (await merchant.adjust("A", "BER", 3)).status_code == 201
    found = await merchant.until(order_id, "reserved")
    assert (found["reservation_version"], found["waiting_since"]) == (2, None)


async def test_unknown_sku_holds_the_order_until_it_is_in_the_catalogue_and_in_stock(merchant):
    await merchant.stock({("A", "BER"): 2})
    order = merchant.order({"A": 1, "NEW": 1})
    order_id = UUID(order["order_id"])
    await merchant.publish([order])
    found = await merchant.until(order_id, "on_hold")
    assert (found["reason"], found["unknown_skus"]) == ("unknown_sku", ["NEW"])
    assert found["message"] == "Unknown SKU NEW: add it to the catalogue, or change the order."
    assert await merchant.levels() == {("A", "BER"): (2, 0, 2)}
    assert (await merchant.call("POST", "/skus", json={"sku": "New", "name": "New"})).status_code == 201
    found = await merchant.until(order_id, "backordered")
    assert found["message"] == "Insufficient stock: SKU NEW needs 1, 0 available."
    await merchant.stock({("NEW", "BER"): 1})
    await merchant.until(order_id, "reserved")
    await merchant.assert_ledger_matches()
