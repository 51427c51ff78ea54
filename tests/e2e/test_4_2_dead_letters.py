"""4.2: what cannot be processed is kept, clogs nothing, and can be sent again."""

from rappit_demo import orders_chapter


async def test_poison_is_kept_and_requeued_once_its_body_is_mended(scene):
    await orders_chapter.poison_mended_and_requeued(scene)
    assert scene.story.differences == 0, scene.story.rows


async def test_poison_does_not_hold_up_the_orders_behind_it(scene):
    for _ in range(5):
        await scene.shop.deliver("orders/create", b"not json")
    order = scene.shop.create_order([("SKU-0017", 1, "1.00")])
    await order.deliver()
    seen = await scene.merchant.order_in("shopify", str(order.id), "reserved")
    assert seen["external_order_id"] == str(order.id)
