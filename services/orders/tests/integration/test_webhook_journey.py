"""A webhook becomes an order, seen over HTTP and told to the others, once."""

import asyncio
import json
import random

import pytest
from orders_payloads import shopify_line, shopify_order, standard_message, woo_order
from rappit_common.clock import new_id
from rappit_common.testing.waiting import eventually
from rappit_common.web.auth import Role
from rappit_orders.models import OrderEventRow
from sqlalchemy import select

pytestmark = pytest.mark.server

EDITED_AT = "2026-11-20T11:00:00+01:00"
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


async def test_a_shopify_webhook_becomes_an_order_and_a_snapshot(shop):
    await shop.deliver("orders/create", shopify_order(1))
    order = await shop.order_when(1)
    assert (order["state"], order["number"], order["total"]) == ("received", "#1001", "33.30")
    assert order["placed_at"] == "2026-11-20T09:00:00Z"
    assert order["customer"] == {"name": "Lena Öberg", "email": "lena@example.com"}
    assert [(line["sku"], line["quantity"], line["unit_price"]) for line in order["lines"]] == [
        ("TEA", 2, "8.90"),
        ("CUP", 1, "15.50"),
    ]
    assert [(e["kind"], e["actor"], e["trace_id"]) for e in order["timeline"]] == [
        ("order_received", "shopify", TRACE_ID)
    ]
    told = await shop.event_when(order, 1)
    assert told["event"] == "orders.order-placed.v1"
    assert told["body"]["demand"] == [{"sku": "CUP", "quantity": 1}, {"sku": "TEA", "quantity": 2}]
    assert told["body"]["order_version"] == 1
    for name in ("organization_id", "order_id", "lines", "shipping_address", "customer", "state", "total"):
        expected = order.get(name, str(shop.organization_id))
        if name == "lines":
            expected = [{k: v for k, v in line.items() if k != "external_line_id"} for line in expected]
        assert told["body"][name] == expected


@pytest.mark.parametrize(
    ("provider", "topic", "body", "external_order_id"),
    [
        ("woocommerce", "order.created", woo_order(7002), "7002"),
        ("standard_webhooks", "", standard_message(order_id="S-1"), "S-1"),
    ],
)
async def test_the_other_channels_do_the_same(shop, provider, topic, body, external_order_id):
    shop.provider = provider
    await shop.deliver(topic, body)
    order = await shop.order_when(external_order_id, state="received")
    assert (await shop.event_when(order, 1))["body"]["demand"]


async def test_fifty_equal_deliveries_at_once_are_one_order(shop):
    body = shopify_order(2)
    await asyncio.gather(*(shop.deliver("orders/create", body) for _ in range(50)))

    async def all_told():
        order = await shop.order_when(2)
        return order if len(order["timeline"]) == 50 else None

    order = await eventually(all_told, within_s=30)
    assert (order["order_version"], order["state_version"]) == (1, 1)
    assert [e["kind"] for e in order["timeline"]].count("delivery_unchanged") == 49
    assert len(shop.orders.events(order["id"])) == 1


async def test_a_whole_history_at_once_in_any_order_ends_with_its_newest(shop):
    quantities = random.Random(7).sample(range(1, 31), 30)
    await asyncio.gather(
        *(
            shop.deliver(
                "orders/updated",
                shopify_order(
                    20, updated_at=f"2026-11-20T11:00:{n:02d}Z", line_items=[shopify_line(11, "TEA", n)], note=None
                ),
            )
            for n in quantities
        )
    )

    async def settled():
        order = await shop.order_when(20)
        told = [e for e in order["timeline"] if e["kind"] in {"order_received", "order_changed", "delivery_superseded"}]
        return order if len(told) == 30 else None

    order = await eventually(settled, within_s=30)
    assert order["demand"] == [{"sku": "TEA", "quantity": 30}]

    async def all_heard():
        return len(shop.orders.events(order["id"])) == order["state_version"]

    await eventually(all_heard, what="every snapshot")
    newest = max(shop.orders.events(order["id"]), key=lambda event: event["body"]["state_version"])
    assert newest["body"]["demand"] == [{"sku": "TEA", "quantity": 30}]


async def test_one_delivery_five_times_is_noted_once(shop):
    body = shopify_order(3)
    await asyncio.gather(*(shop.deliver("orders/create", body, dedupe_key="shopify:same") for _ in range(5)))
    await shop.deliver("orders/updated", shopify_order(3, updated_at=EDITED_AT, note="the last"))
    order = await shop.order_when(3, note="the last")
    assert [e["kind"] for e in order["timeline"]] == ["order_received", "order_changed"]


async def test_one_message_twice_is_noted_once(shop):
    message_id = str(new_id())
    for key in ("a", "b"):
        await shop.deliver("orders/create", shopify_order(4), message_id=message_id, dedupe_key=key)
    await shop.deliver("orders/updated", shopify_order(4, updated_at=EDITED_AT, note="the last"))
    order = await shop.order_when(4, note="the last")
    assert [e["kind"] for e in order["timeline"]] == ["order_received", "order_changed"]


async def test_an_edit_moves_the_demand_and_a_late_create_does_not_move_it_back(shop):
    lines = [shopify_line(11, "TEA", 2, current_quantity=5), shopify_line(12, "CUP", 1, current_quantity=0)]
    await shop.deliver("orders/updated", shopify_order(5, updated_at=EDITED_AT, line_items=lines))
    first = await shop.order_when(5)
    await shop.deliver("orders/create", shopify_order(5))

    async def superseded():
        order = await shop.order_when(5)
        return order if order["timeline"][-1]["kind"] == "delivery_superseded" else None

    order = await eventually(superseded)
    assert order["demand"] == [{"sku": "TEA", "quantity": 5}]
    assert order["order_version"] == first["order_version"]


async def test_a_cancellation_empties_the_demand_and_stays(shop):
    await shop.deliver("orders/create", shopify_order(6))
    await shop.order_when(6)
    await shop.deliver("orders/cancelled", shopify_order(6, updated_at=EDITED_AT, cancelled_at=EDITED_AT))
    order = await shop.order_when(6, state="cancelled")
    told = await shop.event_when(order, 2)
    assert (told["event"], told["body"]["demand"], told["body"]["order_version"]) == (
        "orders.order-cancelled.v1",
        [],
        2,
    )
    await shop.deliver("orders/updated", shopify_order(6, updated_at="2026-11-20T10:30:00+01:00", note="late"))
    await shop.deliver("orders/updated", shopify_order(60, note="sent after it"))
    await shop.order_when(60)
    assert (await shop.order_when(6))["state"] == "cancelled"


async def test_a_topic_we_do_not_know_is_recorded_and_no_error(shop):
    await shop.deliver("carts/update", {"id": 1})
    await shop.deliver("orders/create", shopify_order(8))
    await shop.order_when(8)

    async def recorded():
        async with shop.orders.runtime.units.begin(shop.organization_id) as unit:
            rows = await unit.session.scalars(select(OrderEventRow).where(OrderEventRow.order_id.is_(None)))
            return [(row.kind, row.detail["topic"]) for row in rows]

    assert await eventually(recorded) == [("delivery_ignored", "carts/update")]
    assert await shop.dead_letters() == []


@pytest.mark.parametrize(
    ("body", "error_type", "field"),
    [
        (b'{"id": 9, "line_items": [{"sku"', "unreadable_body", "not JSON"),
        (b"\xff\xfe not even text", "unreadable_body", "not JSON"),
        (shopify_order(9, line_items=[shopify_line(1, "TEA", -2)]), "invalid_delivery", "line_items[0]"),
    ],
)
async def test_poison_is_a_dead_letter_at_once_and_no_order(shop, body, error_type, field):
    if isinstance(body, dict):
        body["line_items"][0]["current_quantity"] = -2
    await shop.deliver("orders/create", body)
    letter = await shop.dead_letter()
    assert (letter["queue"], letter["error_type"], letter["attempts"]) == ("orders.accept-webhook", error_type, 1)
    assert field in letter["error_message"]
    assert await shop.find("9") is None


async def test_poison_that_was_mended_becomes_its_order(shop):
    await shop.deliver("orders/create", b'{"id": 10, "line')
    letter = await shop.dead_letter()
    answer = await shop.orders.http.post(
        f"/orders/ops/dead-letters/{letter['id']}/requeue",
        json={"body": json.dumps(shopify_order(10)), "reason": "the shop sent it whole"},
        headers=shop.orders.headers(None, Role.OPERATOR),
    )
    assert answer.status_code == 202, answer.text
    await shop.order_when(10, state="received")


async def test_a_message_without_the_gateways_headers_is_poison(shop):
    await shop.orders.publish(
        "gateway.webhook-received.v1", b"{}", **{"rappit-organization-id": str(shop.organization_id)}
    )
    letter = await shop.dead_letter()
    assert "rappit-channel-id" in letter["error_message"]
