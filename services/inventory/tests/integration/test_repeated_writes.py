"""Writes under an idempotency key: done once, answered alike, and told apart from others."""

import asyncio

import pytest
from rappit_common import idempotency
from rappit_common.clock import new_id, utc_now
from rappit_common.idempotency import IdempotencyPurge
from rappit_common.web.auth import Role
from rappit_inventory.service.reserve import OrderVersion, reserve_orders
from rappit_inventory.service.ship import ShipmentVersion, apply_shipment

pytestmark = pytest.mark.server
PLACE = {"sku": "A", "warehouse_code": "BER"}
LINES = [{"sku": "A", "quantity": 2}]


async def keyed(merchant, path, body, key="key-1", **more):
    return await merchant.call("POST", path, json=body, headers={"Idempotency-Key": key}, **more)


async def adjustment(_merchant):
    return "/adjustments", {**PLACE, "delta": 2, "reason": "found"}, {"reason": "found elsewhere"}


async def state_move(_merchant):
    moved = {"quantity": 2, "from_state": "sellable", "to_state": "damaged", "reason": "wet"}
    return "/state-moves", {**PLACE, **moved}, {"quantity": 1}


async def transfer(_merchant):
    places = {"source_warehouse_code": "BER", "target_warehouse_code": "LYS"}
    return "/transfers", {**places, "lines": LINES}, {"note": "by lorry"}


async def sent_transfer(merchant):
    _, body, _ = await transfer(merchant)
    made = await merchant.post("/transfers", {**body, "lines": [{"sku": "A", "quantity": 5}]})
    await merchant.post(f"/transfers/{made['id']}/send", {})
    return f"/transfers/{made['id']}"


async def receipt(merchant):
    return f"{await sent_transfer(merchant)}/receive", {"lines": LINES}, {"lines": [{"sku": "A", "quantity": 1}]}


async def loss(merchant):
    return f"{await sent_transfer(merchant)}/write-off", {"lines": LINES, "reason": "lost"}, {"reason": "stolen"}


async def reserved(merchant):
    order_id = new_id()
    async with merchant.inventory.runtime.units.begin(merchant.organization_id) as unit:
        await reserve_orders(unit, [OrderVersion(order_id, 1, (("A", 5),))], now=utc_now())
    return order_id


async def reservation_move(merchant):
    await merchant.stock({("A", "LYS"): 9})
    places = {"sku": "A", "from_warehouse_code": "BER", "to_warehouse_code": "LYS"}
    return f"/reservations/{await reserved(merchant)}/move", {**places, "quantity": 2}, {"quantity": 1}


async def return_(merchant):
    order_id, units = await reserved(merchant), merchant.inventory.runtime.units
    async with units.begin(merchant.organization_id) as unit:
        shipment = ShipmentVersion(new_id(), order_id, 1, "labelled", None, (("A", 5),))
        await apply_shipment(unit, shipment, now=utc_now())
    line = {"sku": "A", "quantity": 2, "condition": "sellable"}
    return "/returns", {"order_id": str(order_id), "lines": [line]}, {"reason": "too small"}


async def count(_merchant):
    return "/counts", {"warehouse_code": "BER", "skus": ["A"]}, {"note": "yearly"}


async def traces(merchant):
    """Return all that a write leaves behind, in numbers."""
    query = """
        SELECT (SELECT count(*) FROM stock_ledger WHERE organization_id = $1),
               (SELECT count(*) FROM transfers WHERE organization_id = $1),
               (SELECT count(*) FROM transfer_steps WHERE organization_id = $1),
               (SELECT count(*) FROM stock_returns WHERE organization_id = $1),
               (SELECT count(*) FROM stock_counts WHERE organization_id = $1)
    """
    return tuple((await merchant.sql(query, merchant.organization_id))[0])


@pytest.mark.parametrize("prepare", [adjustment, state_move, transfer, receipt, loss, return_, count, reservation_move])
async def test_repeated_write_is_done_once_and_a_key_says_one_thing_only(merchant, prepare):
    await merchant.stock({("A", "BER"): 10, ("A", "LYS"): 0})
    path, body, other = await prepare(merchant)
    before = await traces(merchant)
    first = await keyed(merchant, path, body)
    assert first.status_code in {200, 201}, first.text
    after = await traces(merchant)
    assert after != before
    again = await keyed(merchant, path, body)
    assert (again.status_code, again.content) == (200, first.content)
    refused = await keyed(merchant, path, {**body, **other})
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")
    assert await traces(merchant) == after
    assert (await keyed(merchant, path, body, "key-2")).status_code == first.status_code
    assert await traces(merchant) != after
    await merchant.assert_ledger_matches()


async def test_fifty_at_once_under_one_key_act_once(merchant):
    await merchant.stock({("A", "BER"): 10})
    path, body, _ = await adjustment(merchant)
    answers = await asyncio.gather(*(keyed(merchant, path, body) for _ in range(50)))
    assert sorted(answer.status_code for answer in answers) == [200] * 49 + [201]
    assert len({answer.content for answer in answers}) == 1
    assert await merchant.levels() == {("A", "BER"): (12, 0, 12)}
    await merchant.assert_ledger_matches()


async def test_receipt_of_another_transfer_is_another_request(merchant):
    await merchant.stock({("A", "BER"): 10, ("A", "LYS"): 0})
    first, second = await sent_transfer(merchant), await sent_transfer(merchant)
    assert (await keyed(merchant, f"{first}/receive", {})).status_code == 200
    refused = await keyed(merchant, f"{second}/receive", {})
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")


async def test_a_release_that_is_told_again_does_not_undo_what_came_after(merchant):
    await merchant.stock({("A", "BER"): 10})
    path = f"/reservations/{await reserved(merchant)}"
    first = await keyed(merchant, f"{path}/release", {"reason": "wait"})
    assert first.json()["status"] == "backordered"
    assert (await keyed(merchant, f"{path}/resume", {})).json()["status"] == "reserved"
    assert (await keyed(merchant, f"{path}/priority", {"priority": 7})).json()["priority"] == 7
    assert (await keyed(merchant, f"{path}/release", {"reason": "wait"})).content == first.content
    assert (await keyed(merchant, f"{path}/priority", {"priority": 8})).json()["code"] == "idempotency_key_reused"
    found = await merchant.get(path)
    assert (found["status"], found["priority"]) == ("reserved", 7)


async def test_refused_write_leaves_its_key_free(merchant):
    await merchant.stock({("A", "BER"): 1})
    taken = {**PLACE, "delta": -2, "reason": "sold at the door"}
    assert (await keyed(merchant, "/adjustments", taken)).json()["code"] == "insufficient_stock"
    await merchant.adjust("A", "BER", 1)
    assert (await keyed(merchant, "/adjustments", taken)).status_code == 201


async def test_without_a_key_each_request_counts(merchant):
    await merchant.stock({("A", "BER"): 1})
    for _ in range(2):
        assert (await merchant.adjust("A", "BER", 1)).status_code == 201
    assert await merchant.levels() == {("A", "BER"): (3, 0, 3)}


async def test_keys_of_two_merchants_and_of_two_operations_never_meet(merchant):
    other = merchant.inventory.merchant()
    for one in (merchant, other):
        await one.stock({("A", "BER"): 5, ("A", "LYS"): 0})
        for prepare in (adjustment, state_move, transfer):
            path, body, _ = await prepare(one)
            assert (await keyed(one, path, body)).status_code == 201
        assert await one.levels(warehouse_code="BER") == {("A", "BER"): (7, 0, 5)}


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "tab\tinside"])
async def test_key_that_is_none_is_refused(merchant, key):
    await merchant.stock({("A", "BER"): 5})
    path, body, _ = await adjustment(merchant)
    answer = await keyed(merchant, path, body, key)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")
    assert await merchant.levels() == {("A", "BER"): (5, 0, 5)}


async def test_only_staff_write_whatever_was_answered_before(merchant):
    await merchant.stock({("A", "BER"): 5})
    path, body, _ = await adjustment(merchant)
    assert (await keyed(merchant, path, body)).status_code == 201
    assert (await keyed(merchant, path, body, role=Role.VIEWER)).status_code == 403


async def test_keys_are_forgotten_after_a_week(merchant, monkeypatch):
    await merchant.stock({("A", "BER"): 5})
    path, body, _ = await adjustment(merchant)
    for number in range(3):
        await keyed(merchant, path, body, f"key-{number}")
    aged = """
        UPDATE idempotency_keys SET created_at = now() - interval '1 day' * CASE WHEN key < 'key-2' THEN 8 ELSE 6 END
        WHERE organization_id = $1
    """
    await merchant.sql(aged, merchant.organization_id)
    monkeypatch.setattr(idempotency, "PURGE_ROWS", 5)
    assert await IdempotencyPurge(merchant.inventory.runtime.units).purge() == 2
    assert (await keyed(merchant, path, body, "key-2")).status_code == 200
    assert (await keyed(merchant, path, body, "key-0")).status_code == 201


async def test_documents_describe_the_key_and_its_refusal(merchant):
    document = (await merchant.inventory.http.get("/inventory/openapi.json")).json()
    for path in ("adjustments", "state-moves", "returns", "transfers", "transfers/{transfer_id}/receive"):
        described = document["paths"][f"/inventory/{path}"]["post"]
        [key] = [x for x in described["parameters"] if x["name"] == "Idempotency-Key"]
        assert key["required"] is False
        assert "idempotency_key_reused" in described["responses"]["422"]["description"]
        assert "application/json" in described["responses"]["200"]["content"]
