"""2.1: the same webhook five times is one order."""

from rappit_demo import orders_chapter


async def test_the_same_webhook_five_times_at_once_is_one_order(scene):
    await orders_chapter.five_identical_webhooks(scene)
    assert scene.story.differences == 0, scene.story.rows


async def test_create_and_update_of_one_order_under_different_ids_are_one_order(scene):
    order = scene.shop.create_order([("SKU-0011", 2, "5.00")])
    await order.deliver("orders/updated")
    await order.deliver("orders/create")
    await order.deliver("orders/paid")
    seen = await scene.merchant.order_in("shopify", str(order.id), "reserved")
    assert (await scene.merchant.level("SKU-0011"))["reserved"] == 2
    found = await scene.merchant.api.items("/orders", external_order_id=str(order.id))
    assert [row["id"] for row in found] == [seen["id"]]
