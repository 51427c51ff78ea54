"""Orders without a channel: placed by a program, once however often it asks."""

import asyncio
import json
from datetime import timedelta

import pytest
from orders_payloads import standard_line, standard_message
from rappit_common import idempotency
from rappit_common.clock import new_id
from rappit_common.idempotency import IdempotencyPurge
from rappit_common.web.auth import Role
from rappit_orders.domain.channels.standard import api_channel_of
from sqlalchemy import text

pytestmark = pytest.mark.server

LATER = "2026-11-20T10:00:00Z"


async def send(shop, message, key="key-1", role=Role.STAFF):
    headers = shop.orders.headers(shop.organization_id, role)
    if key is not None:
        headers["Idempotency-Key"] = key
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    return await shop.orders.http.post("/orders", content=body, headers=headers)


async def remembered(shop):
    async with shop.orders.runtime.units.begin(shop.organization_id) as unit:
        return list((await unit.session.execute(text("SELECT key FROM idempotency_keys ORDER BY key"))).scalars())


async def test_an_order_is_placed_told_and_reserved_like_any_other(shop):
    answer = await send(shop, standard_message(order_id="A-1"))
    assert answer.status_code == 201, answer.text
    order = answer.json()
    assert (order["external_order_id"], order["state"]) == ("A-1", "received")
    assert order["channel_id"] == str(api_channel_of(shop.organization_id))
    assert order["demand"] == [{"sku": "BOOK", "quantity": 1}]
    [received] = order["timeline"]
    assert (received["kind"], received["actor"]) == ("order_received", "tester@example.com")
    assert received["detail"]["idempotency_key"] == "key-1"
    told = await shop.event_when(order, 1)
    assert (told["event"], told["body"]["demand"]) == ("orders.order-placed.v1", order["demand"])

    shop.channel_id = api_channel_of(shop.organization_id)
    await shop.answer(order, 1, "reserved", allocations=[{"sku": "BOOK", "warehouse_code": "BER", "quantity": 1}])
    await shop.order_when("A-1", state="reserved")


async def test_repeated_with_its_key_it_is_answered_alike_and_nothing_is_done(shop):
    message = standard_message()
    first = await send(shop, message)
    await shop.post(f"/orders/{first.json()['id']}/cancel", {"reason": "meanwhile"})
    again = await send(shop, message)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.content == first.content
    assert len(await shop.listed()) == 1


async def test_many_at_once_with_one_key_are_one_order_and_one_answer(shop):
    message = standard_message()
    answers = await asyncio.gather(*(send(shop, message) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [201]
    assert len({answer.content for answer in answers}) == 1
    assert len(await shop.listed()) == 1


async def test_a_key_says_one_thing_only(shop):
    first = await send(shop, standard_message(order_id="A-1"))
    other = await send(shop, standard_message(order_id="A-2"))
    assert first.status_code == 201
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert "'key-1'" in other.json()["detail"]
    assert [row["external_order_id"] for row in await shop.listed()] == ["A-1"]


async def test_an_order_that_is_known_is_not_placed_again_under_another_key(shop):
    first = await send(shop, standard_message(), "key-1")
    again = await send(shop, standard_message(total="1.00"), "key-2")
    assert (again.status_code, again.json()["code"]) == (409, "order_exists")
    assert again.json()["order_id"] == first.json()["id"]
    [row] = await shop.listed()
    assert (row["total"], row["state_version"]) == ("19.00", 1)
    assert await remembered(shop) == ["key-1"]


async def test_at_once_under_two_keys_one_is_placed_and_the_other_refused(shop):
    answers = await asyncio.gather(*(send(shop, standard_message(), f"key-{n}") for n in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    assert len(await shop.listed()) == 1


async def test_it_is_changed_and_cancelled_by_further_messages(shop):
    await send(shop, standard_message(), "placed")
    lines = [standard_line("1", "BOOK", 3)]
    edited = await send(shop, standard_message("order.updated", updated_at=LATER, lines=lines), "edited")
    assert (edited.status_code, edited.json()["demand"]) == (201, [{"sku": "BOOK", "quantity": 3}])
    late = await send(shop, standard_message("order.updated", note="older than the edit"), "late")
    assert (late.json()["note"], late.json()["timeline"][-1]["kind"]) == (None, "delivery_superseded")
    cancelled = await send(shop, standard_message("order.cancelled", updated_at=LATER, lines=lines), "cancelled")
    assert (cancelled.json()["state"], cancelled.json()["demand"]) == ("cancelled", [])
    assert len(await shop.listed()) == 1


async def test_what_is_wrong_is_named_and_its_key_stays_free(shop):
    wrong = await send(shop, standard_message(lines=[standard_line("1", "BOOK", -1)]))
    assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid_delivery")
    assert wrong.json()["field"] == "data.lines[0].quantity"
    assert (await send(shop, b"{")).json()["code"] == "unreadable_body"
    assert (await send(shop, standard_message())).status_code == 201


@pytest.mark.parametrize("key", [None, "", " ", "x" * 256, "tab\tinside", "snow\u00e9".encode("latin-1")])
async def test_a_key_that_is_none_is_refused(shop, key):
    answer = await send(shop, standard_message(), key)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")
    assert answer.json()["errors"][0]["field"].lower() == "idempotency-key"
    assert await shop.listed() == []


async def test_only_staff_place_orders(shop):
    answer = await send(shop, standard_message(), role=Role.VIEWER)
    assert (answer.status_code, answer.json()["code"]) == (403, "missing_role")
    assert (await shop.orders.http.post("/orders", json=standard_message())).status_code == 401


async def test_another_organization_sees_neither_order_nor_key(shop):
    stranger = shop.stranger()
    ours, theirs = await send(shop, standard_message()), await send(stranger, standard_message(total="1.00"))
    assert (ours.status_code, theirs.status_code) == (201, 201)
    assert ours.json()["id"] != theirs.json()["id"]
    assert [row["id"] for row in await stranger.listed()] == [theirs.json()["id"]]
    assert (await stranger.get(f"/orders/{ours.json()['id']}")).status_code == 404
    assert await remembered(stranger) == ["key-1"]
    async with shop.orders.runtime.units.begin(new_id()) as unit:
        assert (await unit.session.execute(text("SELECT count(*) FROM idempotency_keys"))).scalar_one() == 0


async def test_keys_are_forgotten_after_a_week_and_not_before(shop, monkeypatch):
    for number in range(5):
        await send(shop, standard_message(order_id=f"A-{number}"), f"key-{number}")
    async with shop.orders.runtime.units.begin(shop.organization_id) as unit:
        for age, keys in ((timedelta(days=8), ["key-0", "key-1", "key-2"]), (timedelta(days=6), ["key-3"])):
            aged = text("UPDATE idempotency_keys SET created_at = now() - CAST(:age AS interval) WHERE key = ANY(:of)")
            await unit.session.execute(aged, {"age": age, "of": keys})
    monkeypatch.setattr(idempotency, "PURGE_ROWS", 2)
    purge = IdempotencyPurge(shop.orders.runtime.units)
    assert [await purge.purge(), await purge.purge(), await purge.purge()] == [2, 1, 0]
    assert await remembered(shop) == ["key-3", "key-4"]


async def test_the_documents_describe_the_body_and_every_refusal(shop):
    document = (await shop.orders.http.get("/orders/openapi.json")).json()
    described = document["paths"]["/orders"]["post"]
    assert set(described["responses"]) >= {"200", "201", "401", "403", "409", "422"}
    assert "application/json" in described["requestBody"]["content"]
    assert "idempotency_key_reused" in described["responses"]["422"]["description"]
