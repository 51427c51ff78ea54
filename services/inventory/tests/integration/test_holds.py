"""Carts and people keep stock from others, for a time; then it is free, or an order's."""

import asyncio
import json
from datetime import timedelta

import pytest
from rappit_common.clock import new_id, utc_now
from rappit_common.testing.waiting import eventually
from rappit_common.web.auth import Role
from rappit_inventory.domain.errors import InsufficientStockError
from rappit_inventory.domain.holds import HoldKind
from rappit_inventory.flows import hold_expiry
from rappit_inventory.flows.hold_expiry import HoldExpiry, HoldPurge
from rappit_inventory.service.adjust import Adjustment, adjust_stock
from rappit_inventory.service.hold import HoldStock, convert_hold, hold_stock, release_hold
from rappit_inventory.service.reserve import OrderVersion, reserve_orders

pytestmark = pytest.mark.server


def cart(quantities, **more):
    lines = [{"sku": sku, "quantity": quantity} for sku, quantity in quantities.items()]
    return {"kind": "cart", "lines": lines, **more}


async def held(merchant, quantities, **more):
    answer = await merchant.call(
        "POST", "/holds", json=cart(quantities, **more), headers={"Idempotency-Key": str(new_id())}
    )
    assert answer.status_code == 201, answer.text
    return answer.json()


async def overdue(merchant, *hold_ids):
    await merchant.sql("UPDATE holds SET expires_at = now() WHERE id = ANY($1::uuid[])", list(hold_ids))


async def state(merchant, hold_id):
    return (await merchant.get(f"/holds/{hold_id}"))["state"]


async def test_held_units_are_reserved_and_released_again(merchant):
    await merchant.stock({("A", "BER"): 5, ("B", "BER"): 5})
    made = await held(merchant, {"A": 2, "b": 1}, reason="checkout")
    assert [(x["sku"], x["warehouse_code"], x["quantity"]) for x in made["lines"]] == [("A", "BER", 2), ("B", "BER", 1)]
    assert (made["state"], made["created_by"], made["reason"]) == ("active", "tester@example.com", "checkout")
    assert await merchant.levels() == {("A", "BER"): (5, 2, 3), ("B", "BER"): (5, 1, 4)}
    await merchant.assert_ledger_matches()
    assert (await merchant.post("/verifications", {}))["found"] == 0
    released = await merchant.post(f"/holds/{made['id']}/release", {})
    assert (released["state"], released["ended_at"] is None) == ("released", False)
    assert (await merchant.post(f"/holds/{made['id']}/release", {}))["ended_at"] == released["ended_at"]
    assert await merchant.levels() == {("A", "BER"): (5, 0, 5), ("B", "BER"): (5, 0, 5)}
    rows = (await merchant.get("/ledger", source_id=made["id"]))["items"]
    assert sorted((x["kind"], x["sku"], x["reason"]) for x in rows) == sorted(
        (kind, sku, "checkout") for kind in ("hold", "hold_release") for sku in "AB"
    )
    await merchant.refused(f"/holds/{made['id']}/extend", {}, 409, "document_closed")
    await merchant.refused(f"/holds/{made['id']}/convert", {"order_id": str(new_id())}, 409, "document_closed")


async def test_hold_is_all_or_nothing_and_says_what_there_is(merchant):
    await merchant.stock({("A", "BER"): 5, ("B", "BER"): 1})
    key = {"Idempotency-Key": "one"}
    said = await merchant.refused("/holds", cart({"A": 2, "B": 3}), 409, "insufficient_stock", headers=key)
    assert said == "Insufficient stock for SKU B: 3 requested, 1 available in BER."
    assert await merchant.levels() == {("A", "BER"): (5, 0, 5), ("B", "BER"): (1, 0, 1)}
    # A refusal is not remembered: once there is more, the same request goes through.
    await merchant.adjust("B", "BER", 2)
    assert (await merchant.call("POST", "/holds", json=cart({"A": 2, "B": 3}), headers=key)).status_code == 201
    for body, status, code in (
        (cart({"X": 1}), 404, "unknown_sku"),
        (cart({"A": 1}, warehouse_code="NOPE"), 404, "unknown_warehouse"),
    ):
        await merchant.refused("/holds", body, status, code, headers={"Idempotency-Key": str(new_id())})
    assert (await merchant.call("POST", "/holds", json=cart({"A": 1}))).status_code == 422
    answer = await merchant.call(
        "POST", "/holds", json=cart({"A": 1}), headers={"Idempotency-Key": "v"}, role=Role.VIEWER
    )
    assert answer.status_code == 403


async def test_hold_repeated_under_its_key_is_made_once(merchant):
    await merchant.stock({("A", "BER"): 5})
    body, key = json.dumps(cart({"A": 1})), {"Idempotency-Key": "cart-7", "Content-Type": "application/json"}
    answers = await asyncio.gather(*(merchant.call("POST", "/holds", content=body, headers=key) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 200, 201]
    assert len({answer.text for answer in answers}) == 1
    assert await merchant.levels() == {("A", "BER"): (5, 1, 4)}
    await merchant.refused("/holds", cart({"A": 2}), 422, "idempotency_key_reused", headers=key)


async def test_holds_are_listed_by_kind_state_and_sku(merchant):
    await merchant.stock({("A", "BER"): 9, ("B", "BER"): 9})
    first = await held(merchant, {"A": 1})
    second = await held(merchant, {"B": 1}, kind="manual", reason="fair")
    third = await held(merchant, {"A": 1, "B": 1})
    await merchant.post(f"/holds/{first['id']}/release", {})
    assert (second["expires_at"], third["expires_at"] > third["created_at"]) == (None, True)

    async def found(**params):
        return [x["id"] for x in (await merchant.get("/holds", **params))["items"]]

    ids = [x["id"] for x in (first, second, third)]
    assert await found() == ids[::-1]
    assert await found(kind="cart") == [ids[2], ids[0]]
    assert await found(state="active", kind="cart") == [ids[2]]
    assert await found(sku="b") == [ids[2], ids[1]]
    assert await found(sku="nope") == await found(state="expired") == []
    page = await merchant.get("/holds", limit=2)
    assert await found(limit=2, cursor=page["next_cursor"]) == [ids[0]]
    assert await merchant.inventory.merchant().get("/holds") == {"items": [], "next_cursor": None}
    assert (await merchant.inventory.merchant().call("GET", f"/holds/{ids[0]}")).status_code == 404


async def test_hold_is_given_more_time(merchant):
    await merchant.stock({("A", "BER"): 9})
    made = await held(merchant, {"A": 1}, expires_in_s=60)
    longer = await merchant.post(f"/holds/{made['id']}/extend", {"expires_in_s": 3_600})
    assert longer["expires_at"] > made["expires_at"]
    assert (await merchant.post(f"/holds/{made['id']}/extend", {"expires_in_s": 60}))["expires_at"] == longer[
        "expires_at"
    ]
    await merchant.refused(f"/holds/{made['id']}/extend", {"expires_in_s": 86_401}, 422, "hold_too_long")
    await merchant.refused(f"/holds/{new_id()}/extend", {}, 404, "unknown_document")


async def test_expired_hold_fills_a_waiting_order(merchant):
    await merchant.stock({("A", "BER"): 3})
    made = await held(merchant, {"A": 2})
    order = merchant.order({"A": 3})
    await merchant.publish([order])
    waits = await merchant.until(order["order_id"], "backordered")
    assert waits["shortages"] == [{"sku": "A", "requested": 3, "available": 1}]
    await overdue(merchant, made["id"])
    await merchant.until(order["order_id"], "reserved")
    assert await state(merchant, made["id"]) == "expired"
    assert await merchant.levels() == {("A", "BER"): (3, 3, 0)}
    await merchant.assert_ledger_matches()
    changes = [change for told in await merchant.told("inventory.stock-changed.v1") for change in told["changes"]]
    assert 3 in [change["available"] for change in changes]


async def test_several_processes_expire_each_hold_once(merchant):
    await merchant.stock({(sku, "BER"): 200 for sku in "ABC"})
    other = merchant.inventory.merchant()
    await other.stock({("A", "BER"): 10})
    async with merchant.inventory.runtime.units.begin(merchant.organization_id) as unit:
        for number in range(120):
            asked = HoldStock(
                HoldKind.CART, {"ABC"[number % 3]: 1, "ABC"[(number + 1) % 3]: 2}, "t", lasts=timedelta(days=1)
            )
            await hold_stock(unit, asked, now=utc_now())
    theirs = await held(other, {"A": 4}, expires_in_s=86_400)
    late = utc_now() + timedelta(days=2)
    parts = [HoldExpiry(merchant.inventory.runtime.units, now=lambda: late, poll_s=1) for _ in range(4)]
    for _ in range(6):
        await asyncio.gather(*(part.expire() for part in parts))
    assert await merchant.levels() == {(sku, "BER"): (200, 0, 200) for sku in "ABC"}
    assert await other.levels() == {("A", "BER"): (10, 0, 10)}
    assert await state(other, theirs["id"]) == "expired"
    rows = await merchant.sql(
        "SELECT source_id, sku_id, count(*) FROM stock_ledger WHERE organization_id = $1 AND kind = 'hold_expire'"
        " GROUP BY 1, 2",
        merchant.organization_id,
    )
    assert (len(rows), {row["count"] for row in rows}) == (240, {1})
    await merchant.assert_ledger_matches()


async def test_organization_in_trouble_does_not_hide_the_others(merchant, monkeypatch):
    monkeypatch.setattr(hold_expiry, "LOOKED_AT", 1)
    other = merchant.inventory.merchant()
    for one in (merchant, other):
        await one.stock({("A", "BER"): 10})
    # Further in the future than the service itself looks.
    theirs = await held(merchant, {"A": 4}, kind="manual", reason="x", expires_in_s=86_400)
    fine = await held(other, {"A": 4}, kind="manual", reason="x", expires_in_s=86_401)
    await merchant.sql(
        "UPDATE inventory_levels SET quantity_reserved = 0, quantity_available = 10 WHERE organization_id = $1",
        merchant.organization_id,
    )
    late = utc_now() + timedelta(days=2)
    part = HoldExpiry(merchant.inventory.runtime.units, now=lambda: late, poll_s=1)
    while await state(other, fine["id"]) == "active":
        await part.expire()
    assert await state(merchant, theirs["id"]) == "active"
    await merchant.post("/verifications", {"repair": True})
    late += timedelta(minutes=2)
    while await state(merchant, theirs["id"]) == "active":
        await part.expire()
    assert await merchant.levels() == {("A", "BER"): (10, 0, 10)}


async def test_hold_becomes_the_units_of_a_waiting_order(merchant):
    await merchant.stock({("A", "BER"): 2})
    made = await held(merchant, {"A": 2})
    first, ours = merchant.order({"A": 1}), merchant.order({"A": 2})
    for order in (first, ours):
        await merchant.publish([order])
        await merchant.until(order["order_id"], "backordered")
    done = await merchant.post(f"/holds/{made['id']}/convert", {"order_id": ours["order_id"]})
    assert (done["state"], done["order_id"]) == ("converted", ours["order_id"])
    assert (await merchant.reservation(ours["order_id"]))["status"] == "reserved"
    assert (await merchant.reservation(first["order_id"]))["status"] == "backordered"
    again = await merchant.post(f"/holds/{made['id']}/convert", {"order_id": ours["order_id"]})
    assert again == done
    await merchant.refused(f"/holds/{made['id']}/convert", {"order_id": first["order_id"]}, 409, "document_closed")
    await merchant.refused(f"/holds/{made['id']}/release", {}, 409, "document_closed")
    assert await merchant.levels() == {("A", "BER"): (2, 2, 0)}
    await merchant.assert_ledger_matches()


async def test_what_the_order_does_not_need_of_its_hold_goes_to_who_waits(merchant):
    await merchant.stock({("A", "BER"): 3})
    made = await held(merchant, {"A": 3})
    waits, ours = merchant.order({"A": 1}), merchant.order({"A": 2})
    await merchant.publish([waits])
    await merchant.until(waits["order_id"], "backordered")
    await merchant.publish([ours])
    await merchant.until(ours["order_id"], "backordered")
    await merchant.post(f"/holds/{made['id']}/convert", {"order_id": ours["order_id"]})
    assert (await merchant.reservation(ours["order_id"]))["status"] == "reserved"
    await merchant.until(waits["order_id"], "reserved")
    await merchant.assert_ledger_matches()


async def test_order_that_comes_later_takes_what_it_was_promised(merchant):
    await merchant.stock({("A", "BER"): 2})
    made = await held(merchant, {"A": 2}, expires_in_s=60)
    waits, ours = merchant.order({"A": 1}), merchant.order({"A": 2})
    done = await merchant.post(f"/holds/{made['id']}/convert", {"order_id": ours["order_id"]})
    assert (done["state"], done["expires_at"] > made["expires_at"]) == ("promised", True)
    assert (await merchant.call("GET", f"/reservations/{ours['order_id']}")).status_code == 404
    await merchant.refused(f"/holds/{made['id']}/convert", {"order_id": str(new_id())}, 409, "document_closed")
    await merchant.publish([waits])
    await merchant.until(waits["order_id"], "backordered")
    await merchant.publish([ours])
    assert (await merchant.until(ours["order_id"], "reserved"))["reservation_version"] == 1
    assert await state(merchant, made["id"]) == "converted"
    assert (await merchant.reservation(waits["order_id"]))["status"] == "backordered"
    await merchant.publish([{**ours, "order_version": 2, "demand": []}])
    await merchant.until(ours["order_id"], "released")
    await merchant.until(waits["order_id"], "reserved")
    await merchant.assert_ledger_matches()


async def test_promised_hold_that_was_released_gives_its_order_nothing(merchant):
    await merchant.stock({("A", "BER"): 2})
    made = await held(merchant, {"A": 2})
    ours, other = merchant.order({"A": 2}), merchant.order({"A": 1})
    await merchant.post(f"/holds/{made['id']}/convert", {"order_id": ours["order_id"]})
    await merchant.post(f"/holds/{made['id']}/release", {})
    await merchant.publish([other])
    await merchant.until(other["order_id"], "reserved")
    await merchant.publish([ours])
    await merchant.until(ours["order_id"], "backordered")
    await merchant.assert_ledger_matches()


async def test_waiting_order_is_served_before_a_new_hold(merchant):
    await merchant.stock({("A", "BER"): 2})
    units = merchant.inventory.runtime.units
    async with units.begin(merchant.organization_id) as unit:
        order_id = new_id()
        await reserve_orders(unit, [OrderVersion(order_id, 1, (("A", 3),))], now=utc_now())
    # Stock arrives, and a cart asks for it in the same transaction, before the line could be served.
    async with units.begin(merchant.organization_id) as unit:
        await adjust_stock(unit, Adjustment("A", "BER", 2, "delivery", "t"), now=utc_now())
        with pytest.raises(InsufficientStockError, match="2 requested, 1 available in BER"):
            await hold_stock(unit, HoldStock(HoldKind.CART, {"A": 2}, "t"), now=utc_now())
        await hold_stock(unit, HoldStock(HoldKind.CART, {"A": 1}, "t"), now=utc_now())
    assert (await merchant.reservation(order_id))["status"] == "reserved"
    assert await merchant.levels() == {("A", "BER"): (4, 4, 0)}


async def test_promise_and_first_version_at_once_never_miss_each_other(merchant):
    await merchant.stock({("A", "BER"): 60})
    units = merchant.inventory.runtime.units

    async def one(number):
        async with units.begin(merchant.organization_id) as unit:
            made = await hold_stock(
                unit, HoldStock(HoldKind.CART, {"A": 1}, "t", lasts=timedelta(hours=1)), now=utc_now()
            )
        order_id = new_id()

        async def convert():
            async with units.begin(merchant.organization_id) as unit:
                await convert_hold(unit, made.id, order_id, now=utc_now())

        async def arrive():
            async with units.begin(merchant.organization_id) as unit:
                await reserve_orders(unit, [OrderVersion(order_id, 1, (("A", 1),))], now=utc_now())

        steps = [convert(), arrive()]
        await asyncio.gather(*(steps if number % 2 else reversed(steps)))
        assert await state(merchant, str(made.id)) == "converted"
        assert (await merchant.reservation(order_id))["status"] == "reserved"

    for start in range(0, 30, 6):
        await asyncio.gather(*(one(number) for number in range(start, start + 6)))
    assert await merchant.levels() == {("A", "BER"): (60, 30, 30)}
    await merchant.assert_ledger_matches()


async def test_hundreds_of_carts_never_hold_more_than_there_is(merchant):
    await merchant.stock({("A", "BER"): 40})
    units, gate = merchant.inventory.runtime.units, asyncio.Semaphore(12)

    async def one(number):
        async with gate:
            try:
                async with units.begin(merchant.organization_id) as unit:
                    made = await hold_stock(unit, HoldStock(HoldKind.CART, {"A": 1}, "t"), now=utc_now())
            except InsufficientStockError:
                return 0
            if number % 4 == 0:
                async with units.begin(merchant.organization_id) as unit:
                    await release_hold(unit, made.id, actor="t", now=utc_now())
                return 0
            return 1

    kept = sum(await asyncio.gather(*(one(number) for number in range(200))))
    assert kept <= 40
    assert await merchant.levels() == {("A", "BER"): (40, kept, 40 - kept)}
    await merchant.assert_ledger_matches()


async def test_verification_counts_what_holds_have(merchant):
    await merchant.stock({("A", "BER"): 5})
    await held(merchant, {"A": 2})
    await merchant.sql(
        "UPDATE inventory_levels SET quantity_reserved = 0, quantity_available = 5 WHERE organization_id = $1",
        merchant.organization_id,
    )
    found = await merchant.post("/verifications", {"repair": True})
    assert [(x["found"]["reserved"], x["expected"]["reserved"]) for x in found["drifts"]] == [(0, 2)]
    assert await merchant.levels() == {("A", "BER"): (5, 2, 3)}


async def test_service_expires_holds_by_itself(merchant):
    await merchant.stock({("A", "BER"): 5})
    made = await held(merchant, {"A": 2}, kind="manual", reason="fair", expires_in_s=60)
    assert await state(merchant, made["id"]) == "active"
    await overdue(merchant, made["id"])

    async def expired():
        return await state(merchant, made["id"]) == "expired"

    await eventually(expired, what="expiry")


async def test_units_are_held_where_the_organization_would_take_an_orders(merchant):
    await merchant.stock(
        {("A", "BER"): 1, ("B", "BER"): 1, ("A", "HAM"): 1, ("C", "HAM"): 1, ("B", "MAD"): 1, ("C", "MAD"): 1}
    )
    places = {}
    for strategy in ("priority", "fewest_parcels"):
        await merchant.call("PUT", "/settings", json={"allocation_strategy": strategy, "partial_reservations": False})
        made = await held(merchant, {"A": 1, "C": 1})
        places[strategy] = {(line["sku"], line["warehouse_code"]) for line in made["lines"]}
        await merchant.post(f"/holds/{made['id']}/release", {})
    assert len({place for _, place in places["fewest_parcels"]}) == 1, places


async def test_ended_holds_are_forgotten_in_time_and_live_ones_never(merchant):
    await merchant.stock({("A", "BER"): 5})
    live, old, fresh = [await held(merchant, {"A": 1}) for _ in range(3)]
    for hold in (old, fresh):
        await merchant.post(f"/holds/{hold['id']}/release", {})
    await merchant.sql("UPDATE holds SET ended_at = ended_at - interval '91 days' WHERE id = $1", old["id"])
    await merchant.sql("UPDATE holds SET created_at = created_at - interval '91 days' WHERE id = $1", live["id"])
    await HoldPurge(merchant.inventory.runtime.units, now=utc_now, keep=timedelta(days=90)).act()
    assert {hold["id"] for hold in (await merchant.get("/holds"))["items"]} == {live["id"], fresh["id"]}
    assert await merchant.sql("SELECT hold_id FROM hold_lines WHERE hold_id = $1", old["id"]) == []


async def test_nothing_can_be_done_by_hand_with_an_order_that_was_only_promised_a_hold(merchant):
    await merchant.stock({("A", "BER"): 5})
    made, order_id = await held(merchant, {"A": 1}), new_id()
    await merchant.post(f"/holds/{made['id']}/convert", {"order_id": str(order_id)})
    for act, body in (("priority", {"priority": 1}), ("release", {"reason": "x"}), ("resume", {})):
        await merchant.refused(f"/reservations/{order_id}/{act}", body, 404, "unknown_reservation")
    assert (await merchant.get("/reservations"))["items"] == []
