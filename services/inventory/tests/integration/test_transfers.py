"""Goods between warehouses: nothing appears, nothing vanishes, in whatever order and however often it is told."""

import asyncio

import pytest
from rappit_common.clock import new_id

pytestmark = pytest.mark.server


def lines(**quantities):
    return [{"sku": sku, "quantity": quantity} for sku, quantity in quantities.items()]


async def draft(merchant, source="BER", target="LYS", **quantities):
    body = {"source_warehouse_code": source, "target_warehouse_code": target, "lines": lines(**quantities)}
    return await merchant.post("/transfers", body)


async def test_sent_goods_are_in_transit_until_they_arrive(merchant):
    await merchant.stock({("A", "BER"): 10, ("B", "BER"): 4, ("A", "LYS"): 1})
    made = await draft(merchant, A=6, B=4)
    path = f"/transfers/{made['id']}"
    assert (made["status"], await merchant.levels(sku="A")) == (
        "draft",
        {("A", "BER"): (10, 0, 10), ("A", "LYS"): (1, 0, 1)},
    )
    for _ in range(2):
        sent = await merchant.post(f"{path}/send", {})
    assert sent["status"] == "sent"
    assert await merchant.levels() == {
        ("A", "BER"): (4, 0, 4),
        ("B", "BER"): (0, 0, 0),
        ("A", "LYS"): (1, 0, 1),
        ("B", "LYS"): (0, 0, 0),
    }
    assert (await merchant.get("/availability/A"))["in_transit"] == 6
    page = await merchant.get("/levels", sku="A", warehouse_code="LYS")
    assert page["items"][0]["quantity_in_transit"] == 6
    part = await merchant.post(f"{path}/receive", {"lines": lines(A=5)})
    assert (part["status"], part["lines"][0]["quantity_in_transit"]) == ("sent", 1)
    said = await merchant.refused(f"{path}/receive", {"lines": lines(A=2)}, 409, "not_in_transit")
    assert said == "Only 1 of SKU A are on the way, not 2."
    await merchant.post(f"{path}/write-off", {"lines": lines(A=1), "reason": "fell off the lorry"})
    for _ in range(2):
        done = await merchant.post(f"{path}/receive", {})
    assert done["status"] == "received"
    assert [(x["action"], x["reason"]) for x in done["steps"]] == [
        ("drafted", None),
        ("sent", None),
        ("received", None),
        ("written_off", "fell off the lorry"),
        ("received", None),
    ]
    assert await merchant.levels(warehouse_code="LYS") == {("A", "LYS"): (6, 0, 6), ("B", "LYS"): (4, 0, 4)}
    await merchant.refused(f"{path}/cancel", {}, 409, "document_closed")
    page = await merchant.get("/ledger", source_id=made["id"])
    assert {x["kind"] for x in page["items"]} == {"transfer"}
    assert len(page["items"]) == 4
    await merchant.assert_ledger_matches()


async def test_cancelled_transfer_brings_back_what_is_on_the_way(merchant):
    await merchant.stock({("A", "BER"): 10, ("A", "LYS"): 0})
    path = f"/transfers/{(await draft(merchant, A=6))['id']}"
    await merchant.post(f"{path}/send", {})
    await merchant.post(f"{path}/receive", {"lines": lines(a=2)})
    for _ in range(2):
        done = await merchant.post(f"{path}/cancel", {"reason": "turned back"})
    assert (done["status"], done["lines"][0]["quantity_returned"]) == ("cancelled", 4)
    assert await merchant.levels() == {("A", "BER"): (8, 0, 8), ("A", "LYS"): (2, 0, 2)}
    await merchant.refused(f"{path}/send", {}, 409, "document_closed")
    await merchant.refused(f"{path}/receive", {"lines": lines(A=1)}, 409, "not_in_transit")
    await merchant.assert_ledger_matches()


async def test_transfer_is_received_once_however_many_receive_it_at_once(merchant):
    await merchant.stock({("A", "BER"): 9, ("A", "LYS"): 0})
    path = f"/transfers/{(await draft(merchant, A=9))['id']}"
    await asyncio.gather(*(merchant.post(f"{path}/send", {}) for _ in range(4)))
    answers = await asyncio.gather(
        *(merchant.call("POST", f"{path}/receive", json={"lines": lines(A=5)}) for _ in range(4)),
        *(merchant.call("POST", f"{path}/cancel", json={}) for _ in range(2)),
    )
    assert {answer.status_code for answer in answers} <= {200, 409}
    levels = await merchant.levels()
    assert levels["A", "BER"][0] + levels["A", "LYS"][0] == 9
    assert levels["A", "LYS"][0] in {0, 5}
    await merchant.assert_ledger_matches()


async def test_transfer_that_cannot_be_is_refused(merchant):
    await merchant.stock({("A", "BER"): 2, ("A", "LYS"): 0})
    path = f"/transfers/{(await draft(merchant, A=3))['id']}"
    said = await merchant.refused(f"{path}/send", {}, 409, "insufficient_stock")
    assert said == "Insufficient stock for SKU A: 3 requested, 2 available in BER."
    await merchant.refused(f"{path}/receive", {}, 409, "document_closed")
    await merchant.refused(f"/transfers/{new_id()}/send", {}, 404, "unknown_document")
    await merchant.inventory.merchant().refused(f"{path}/send", {}, 404, "unknown_document")
    body = {"source_warehouse_code": "BER", "target_warehouse_code": "ber", "lines": lines(A=1)}
    await merchant.refused("/transfers", body, 422, "same_warehouse")
    await merchant.refused("/transfers", {**body, "target_warehouse_code": "X"}, 404, "unknown_warehouse")
    await merchant.post("/warehouses/LYS", {"active": False}, method="PATCH")
    await merchant.refused("/transfers", {**body, "target_warehouse_code": "LYS"}, 409, "inactive_warehouse")
    page = await merchant.get("/transfers", status="draft")
    assert [x["source_warehouse_code"] for x in page["items"]] == ["BER"]
    assert (await merchant.get("/transfers", status="sent"))["items"] == []
