"""Facts of SKUs and warehouses, what begins with a text, and what is no longer active."""

import pytest
from rappit_common.web.auth import Role

pytestmark = pytest.mark.server


async def test_sku_keeps_its_facts_and_what_is_left_out_stays(merchant):
    facts = {
        "name": "Tee",
        "barcode": "4006381333931",
        "product": "tee",
        "options": {"size": "M"},
        "weight_g": 180,
        "length_mm": 300,
        "width_mm": 200,
        "height_mm": 20,
        "hs_code": "610910",
        "country_of_origin": "PT",
        "customs_description": "Cotton T-shirt",
    }
    made = await merchant.post("/skus", {"sku": "TEE/M", **facts})
    assert {name: made[name] for name in facts} == facts
    changed = await merchant.post("/skus/tee/m", {"weight_g": 190, "barcode": None}, method="PATCH")
    assert changed == {**made, "weight_g": 190, "barcode": None}
    assert await merchant.get("/skus/TEE/M") == changed
    await merchant.refused("/skus/NOPE", {"weight_g": 1}, 404, "unknown_sku", method="PATCH")
    await merchant.refused("/skus/TEE/M", {"weight_g": -1}, 422, "validation_error", method="PATCH")
    await merchant.refused("/skus/TEE/M", {"name": None}, 422, "validation_error", method="PATCH")


async def test_warehouse_keeps_its_address(merchant):
    address = {"line1": "Kaiserdamm 1", "city": "Berlin", "postal_code": "14057", "country_code": "DE"}
    made = await merchant.post("/warehouses", {"code": "BER", "name": "Berlin", "address": address})
    assert {name: made["address"][name] for name in address} == address
    changed = await merchant.post("/warehouses/ber", {"priority": 7}, method="PATCH")
    assert changed == {**made, "priority": 7}
    assert await merchant.get("/warehouses/BER") == changed
    await merchant.refused("/warehouses/NOPE", {"priority": 1}, 404, "unknown_warehouse", method="PATCH")


async def test_lists_find_what_begins_with_a_text(merchant):
    items = [
        {"sku": "TEE-M", "name": "Cotton shirt", "barcode": "40063", "product": "tee"},
        {"sku": "TEE-L", "name": "Cotton shirt, large", "active": False, "product": "tee"},
        {"sku": "MUG", "name": "Teetotaller's mug"},
        {"sku": "PEN", "name": "Pen"},
    ]
    await merchant.post("/skus/bulk", {"items": items})
    await merchant.stock({(sku, "BER"): 1 for sku in ("TEE-M", "TEE-L", "MUG", "PEN")})

    async def skus(**params):
        return {x["sku"] for x in (await merchant.get("/skus", **params))["items"]}

    assert await skus(text="tee") == {"TEE-M", "TEE-L", "MUG"}
    assert await skus(text="COTTON") == {"TEE-M", "TEE-L"}
    assert await skus(text="4006") == {"TEE-M"}
    assert await skus(text="ee") == set()
    assert await skus(text="tee", active=True) == {"TEE-M", "MUG"}
    assert await skus(active=False) == {"TEE-L"}
    assert await skus(barcode="40063") == {"TEE-M"}
    assert await skus(product="tee") == {"TEE-M", "TEE-L"}
    assert set(await merchant.levels(text="cotton")) == {("TEE-M", "BER"), ("TEE-L", "BER")}
    assert await merchant.levels(text="cotton", sku="PEN") == {}


async def test_text_that_begins_too_many_skus_asks_for_more_of_it(merchant):
    await merchant.post("/skus/bulk", {"items": [{"sku": f"S{n}", "name": "thing"} for n in range(1_001)]})
    answer = await merchant.call("GET", "/levels", params={"text": "s"})
    assert (answer.status_code, answer.json()["code"]) == (422, "too_many_matches")
    assert len((await merchant.get("/skus", text="S99", limit=200))["items"]) == 11


async def test_closed_warehouse_keeps_its_stock_and_promises_nothing(merchant):
    await merchant.stock({("A", "BER"): 5, ("A", "LYS"): 1})
    first = merchant.order({"A": 2})
    await merchant.publish([first])
    await merchant.until(first["order_id"], "reserved")
    [held] = (await merchant.reservation(first["order_id"]))["allocations"]
    assert (held["warehouse_code"], held["quantity"]) == ("BER", 2)
    await merchant.post("/warehouses/BER", {"active": False}, method="PATCH")
    assert await merchant.levels(warehouse_code="BER") == {("A", "BER"): (5, 2, 3)}
    second = merchant.order({"A": 2})
    await merchant.publish([second])
    waiting = await merchant.until(second["order_id"], "backordered")
    assert waiting["shortages"] == [{"sku": "A", "requested": 2, "available": 1}]
    assert (await merchant.reservation(first["order_id"]))["allocations"] == [held]
    rows = [{"sku": "A", "warehouse_code": "BER", "quantity": 9}]
    assert (await merchant.post("/bulk", {"items": rows}))["errors"][0]["code"] == "inactive_warehouse"
    assert (await merchant.get("/availability/A"))["available"] == 1
    told = (await merchant.told("inventory.stock-changed.v1"))[-1]["changes"]
    assert told == [{"sku": "A", "warehouse_code": "BER", "on_hand": 5, "reserved": 2, "available": 0}]
    await merchant.post("/warehouses/BER", {"active": True}, method="PATCH")
    await merchant.until(second["order_id"], "reserved")
    await merchant.assert_ledger_matches()


async def test_order_waits_for_a_sku_that_is_no_longer_active_and_says_so(merchant):
    await merchant.stock({("A", "BER"): 5})
    kept = merchant.order({"A": 1})
    await merchant.publish([kept])
    await merchant.until(kept["order_id"], "reserved")
    await merchant.post("/skus/A", {"active": False}, method="PATCH")
    order = merchant.order({"A": 2})
    await merchant.publish([order])
    waiting = await merchant.until(order["order_id"], "backordered")
    assert waiting["message"] == "Insufficient stock: SKU A needs 2 and is not active."
    assert (await merchant.reservation(kept["order_id"]))["status"] == "reserved"
    await merchant.post("/skus/A", {"active": True}, method="PATCH")
    await merchant.until(order["order_id"], "reserved")
    await merchant.assert_ledger_matches()


async def test_availability_of_many_is_told_at_once_and_a_change_is_seen(merchant):
    await merchant.stock({("A", "BER"): 5, ("A", "LYS"): 2, ("B", "BER"): 0})
    body = {"skus": ["b", "A", "nope"]}
    found = await merchant.post("/availability", body, role=Role.VIEWER)
    assert [(x["sku"], x["available"]) for x in found["items"]] == [("B", 0), ("A", 7)]
    assert found["unknown_skus"] == ["nope"]
    await merchant.adjust("A", "LYS", 3)
    assert (await merchant.get("/availability/A"))["available"] == 10
    await merchant.stock({("A", "LYS"): 1})
    assert (await merchant.get("/availability/A"))["available"] == 6
    await merchant.inventory.merchant().refused("/availability", {"skus": []}, 422, "validation_error")
    answer = await merchant.inventory.merchant().call("GET", "/availability/A")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_sku")
