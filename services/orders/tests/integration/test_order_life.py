"""An order after it was received: stock, labels, cancellations; and who may see it."""

import asyncio

import pytest
from orders_payloads import shopify_line, shopify_order
from rappit_common.clock import new_id
from rappit_common.web.auth import Role
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

pytestmark = pytest.mark.server

EDITED_AT = "2026-11-20T11:00:00+01:00"
TEA_IN_BERLIN = [{"sku": "TEA", "warehouse_code": "BER", "quantity": 2}]


async def placed(shop, order_id=1, **changes):
    lines = [shopify_line(11, "TEA", 2)]
    await shop.deliver("orders/create", shopify_order(order_id, **{"line_items": lines, **changes}))
    return await shop.order_when(order_id)


async def test_a_reservation_is_applied_and_told(shop):
    order = await placed(shop)
    await shop.answer(order, 1, "reserved", allocations=TEA_IN_BERLIN)
    order = await shop.order_when(1, state="reserved", allocations=TEA_IN_BERLIN, state_version=2, order_version=1)
    told = await shop.event_when(order, 2)
    assert (told["event"], told["body"]["state"], told["body"]["allocations"]) == (
        "orders.order-changed.v1",
        "reserved",
        TEA_IN_BERLIN,
    )
    assert [e["kind"] for e in order["timeline"]] == ["order_received", "stock_reserved", "state_changed"]
    assert order["timeline"][1]["message"] == "Reserved 2 units in BER."


async def test_a_shortage_is_shown_with_inventorys_words_and_ends(shop):
    order = await placed(shop)
    said = "Insufficient stock: SKU TEA needs 2, 1 available."
    shortages = [{"sku": "TEA", "requested": 2, "available": 1}]
    await shop.answer(order, 1, "backordered", reason="insufficient_stock", message=said, shortages=shortages)
    hold = {"reason": "insufficient_stock", "message": said}
    await shop.order_when(1, state="backordered", hold=hold, shortages=shortages)
    assert [row["hold"] for row in await shop.listed(state="backordered")] == [hold]
    await shop.answer(order, 2, "reserved", allocations=TEA_IN_BERLIN)
    await shop.order_when(1, state="reserved", hold=None, shortages=[])


async def test_an_unknown_sku_holds_the_order(shop):
    order = await placed(shop)
    said = "Unknown SKU TEA: add it to the catalogue, or change the order."
    await shop.answer(order, 1, "on_hold", reason="unknown_sku", message=said, unknown_skus=["TEA"])
    await shop.order_when(1, state="on_hold", hold={"reason": "unknown_sku", "message": said})


async def test_an_answer_to_what_was_asked_before_an_edit_is_not_listened_to(shop):
    before = await placed(shop)
    lines = [shopify_line(11, "TEA", 2, current_quantity=7)]
    await shop.deliver("orders/updated", shopify_order(1, updated_at=EDITED_AT, line_items=lines))
    edited = await shop.order_when(1, order_version=2)
    await shop.answer(before, 1, "reserved")
    await shop.answer(edited, 2, "backordered", reason="insufficient_stock", message="Too few.")
    order = await shop.order_when(1, state="backordered")
    assert "stock_reserved" not in [e["kind"] for e in order["timeline"]]


async def test_a_line_without_sku_holds_the_order_until_a_newer_delivery_mends_it(shop):
    order = await placed(shop, line_items=[shopify_line(11, "TEA", 2), shopify_line(12, None, 1, name="Hand-made")])
    assert (order["state"], order["hold"]["reason"], order["demand"]) == ("on_hold", "missing_sku", [])
    assert "Hand-made" in order["hold"]["message"]
    lines = [shopify_line(11, "TEA", 2), shopify_line(12, "BOWL", 1)]
    await shop.deliver("orders/updated", shopify_order(1, updated_at=EDITED_AT, line_items=lines))
    order = await shop.order_when(1, state="received", hold=None)
    assert order["demand"] == [{"sku": "BOWL", "quantity": 1}, {"sku": "TEA", "quantity": 2}]


async def test_a_label_makes_it_ready_and_its_void_takes_that_back(shop):
    order = await placed(shop)
    await shop.answer(order, 1, "reserved", allocations=TEA_IN_BERLIN)
    await shop.order_when(1, state="reserved")
    shipment_id = new_id()
    await shop.ship(order, shipment_id, 1, "labelled")
    order = await shop.order_when(1, state="ready_to_ship")
    parcel = {"shipment_id": str(shipment_id), "carrier": "fedex", "tracking_number": "794953555571"}
    assert order["shipments"] == [{**parcel, "status": "labelled"}]
    await shop.event_when(order, 3)

    refused = await shop.post(f"/orders/{order['id']}/cancel", {"reason": "too late"})
    assert (refused.status_code, refused.json()["code"]) == (409, "order_labelled")
    assert "Void the shipment first" in refused.json()["detail"]

    await shop.ship(order, shipment_id, 2, "voided")
    order = await shop.order_when(1, state="reserved")
    assert order["shipments"][0]["status"] == "voided"
    answer = await shop.post(f"/orders/{order['id']}/cancel", {"reason": "now it may be"})
    assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")


async def test_a_merchants_cancel_releases_the_stock_and_is_signed(shop):
    order = await placed(shop)
    path = f"/orders/{order['id']}/cancel"
    first = await shop.post(path, {"reason": "  customer called "})
    again = await shop.post(path, {"reason": "customer called"})
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.json()["state_version"] == first.json()["state_version"] == 2
    told = await shop.event_when(order, 2)
    assert (told["event"], told["body"]["demand"]) == ("orders.order-cancelled.v1", [])
    [entry] = [e for e in again.json()["timeline"] if e["kind"] == "order_cancelled"]
    assert (entry["actor"], entry["message"]) == ("tester@example.com", "Cancelled: customer called")


async def test_a_cancel_that_races_a_reservation_leaves_a_cancelled_order(shop):
    order = await placed(shop)
    await asyncio.gather(
        shop.answer(order, 1, "reserved", allocations=TEA_IN_BERLIN),
        shop.post(f"/orders/{order['id']}/cancel", {"reason": "a race"}),
    )
    await shop.order_when(1, state="cancelled", demand=[])


async def test_only_staff_cancel_and_nobody_without_a_token_reads(shop):
    order = await placed(shop)
    refused = await shop.post(f"/orders/{order['id']}/cancel", {"reason": "may I?"}, role=Role.VIEWER)
    assert (refused.status_code, refused.json()["code"]) == (403, "missing_role")
    assert (await shop.orders.http.get("/orders")).status_code == 401


@pytest.mark.parametrize("body", [{}, {"reason": " "}, {"reason": "x" * 501}, {"reason": "x", "force": True}])
async def test_a_cancel_without_a_fit_reason_is_refused(shop, body):
    order = await placed(shop)
    answer = await shop.post(f"/orders/{order['id']}/cancel", body)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")


async def test_an_answer_for_an_order_nobody_knows_is_a_dead_letter(shop):
    await shop.answer({"id": str(new_id()), "order_version": 1}, 1, "reserved")
    letter = await shop.dead_letter()
    assert (letter["queue"], letter["error_type"]) == ("orders.apply-reservation", "order_not_found")


class TestTenancy:
    async def test_another_organization_sees_and_changes_nothing(self, shop):
        order = await placed(shop)
        stranger = shop.stranger()
        assert await stranger.listed() == []
        assert await stranger.listed(external_order_id="1") == []
        for answer in (
            await stranger.get(f"/orders/{order['id']}"),
            await stranger.post(f"/orders/{order['id']}/cancel", {"reason": "mine now"}),
        ):
            assert (answer.status_code, answer.json()["code"]) == (404, "order_not_found")

    async def test_an_answer_sent_as_another_organization_moves_nothing(self, shop):
        order = await placed(shop)
        stranger = shop.stranger()
        await stranger.answer(order, 1, "reserved")
        assert (await stranger.dead_letter())["error_type"] == "order_not_found"
        assert (await shop.order_when(1))["state"] == "received"

    async def test_one_external_id_in_two_organizations_is_two_orders(self, shop):
        stranger = shop.stranger(channel_id=shop.channel_id)
        ours, theirs = await placed(shop), await placed(stranger)
        assert ours["id"] != theirs["id"]

    async def test_raw_sql_sees_and_writes_only_the_tenants_rows(self, shop):
        await placed(shop)
        stranger = new_id()
        units = shop.orders.runtime.units
        async with units.begin(stranger) as unit:
            for table in ("orders", "order_events"):
                assert (await unit.session.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one() == 0  # noqa: S608
            changed = await unit.session.execute(text("UPDATE orders SET note = 'stolen'"))
            assert changed.rowcount == 0
        async with shop.orders.runtime.database.engine.connect() as connection:
            assert (await connection.execute(text("SELECT count(*) FROM orders"))).scalar_one() == 0

    async def test_the_timeline_cannot_be_rewritten(self, shop):
        await placed(shop)
        for statement in ("UPDATE order_events SET message = 'never'", "DELETE FROM order_events"):
            with pytest.raises(DBAPIError, match="append-only"):
                async with shop.orders.runtime.units.begin(shop.organization_id) as unit:
                    await unit.session.execute(text(statement))
