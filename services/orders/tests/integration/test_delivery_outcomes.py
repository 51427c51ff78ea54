"""What became of each delivery is told once, in the transaction that settles it."""

import asyncio

import pytest
from orders_payloads import shopify_order
from rappit_common.clock import new_id

pytestmark = pytest.mark.server

EDITED_AT = "2026-11-20T11:00:00+01:00"


async def test_delivery_is_told_with_the_order_it_made(shop):
    message_id = await shop.deliver("orders/create", shopify_order(1))
    told = await shop.settled(message_id)
    order = await shop.order_when(1)
    assert (told["outcome"], told["order_id"], told["external_order_id"]) == ("applied", order["id"], "1")
    assert (told["organization_id"], told["channel_id"]) == (str(shop.organization_id), str(shop.channel_id))
    assert (told["provider"], told["topic"], told["delivery_id"]) == ("shopify", "orders/create", "d-1")
    assert (told["error_type"], told["note"]) == (None, None)


async def test_older_delivery_and_one_that_says_nothing_new_are_told_apart(shop):
    await shop.settled(await shop.deliver("orders/updated", shopify_order(2, updated_at=EDITED_AT, note="edited")))
    older = await shop.settled(await shop.deliver("orders/create", shopify_order(2)))
    same = await shop.settled(
        await shop.deliver("orders/updated", shopify_order(2, updated_at=EDITED_AT, note="edited"))
    )
    assert (older["outcome"], older["external_order_id"], older["note"]) == ("superseded", "2", None)
    assert (same["outcome"], same["note"]) == ("applied", "The order was so already.")


async def test_delivery_that_asks_nothing_is_ignored_with_its_reason(shop):
    told = await shop.settled(await shop.deliver("carts/update", {"id": 1}))
    assert (told["outcome"], told["order_id"]) == ("ignored", None)
    assert "carts/update" in told["note"]


async def test_channels_repeat_is_a_duplicate_of_its_own(shop):
    ids = await asyncio.gather(*(shop.deliver("orders/create", shopify_order(3), dedupe_key="same") for _ in range(4)))
    told = [await shop.settled(message_id) for message_id in ids]
    assert sorted(one["outcome"] for one in told) == ["applied", "duplicate", "duplicate", "duplicate"]
    assert {one["external_order_id"] for one in told} == {"3"}


async def test_brokers_redelivery_is_told_once(shop):
    message_id = str(new_id())
    for _ in range(3):
        await shop.deliver("orders/create", shopify_order(4), message_id=message_id, dedupe_key="again")
    # In line behind the copies: once it is told, they were seen too.
    await shop.settled(message_id)
    await shop.order_when(4)
    last = await shop.deliver("orders/updated", shopify_order(4, updated_at=EDITED_AT))
    await shop.settled(last)
    assert len(shop.orders.settled(message_id)) == 1
