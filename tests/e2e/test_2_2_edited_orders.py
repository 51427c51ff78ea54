"""2.2: an edit up reserves more, a removed item is released, whatever order the webhooks come in."""

import json

from rappit_demo import orders_chapter


async def test_raised_line_reserves_more_and_removed_line_is_released(scene):
    await orders_chapter.edit(scene)
    assert scene.story.differences == 0, scene.story.rows


async def test_cancellation_releases_everything(scene):
    await orders_chapter.cancellation(scene)
    assert scene.story.differences == 0, scene.story.rows


async def test_the_edit_arriving_before_the_create_wins(scene):
    order = scene.shop.create_order([("SKU-0012", 1, "5.00")])
    created = order.payload("orders/create")
    body = json.dumps(created).encode()
    order.edit({"SKU-0012": 3})
    await order.deliver()
    await scene.merchant.order_in("shopify", str(order.id), "reserved")
    await order.deliver("orders/create", body_override=body)
    marker = scene.shop.create_order([("SKU-0013", 1, "5.00")])
    await marker.deliver()
    await scene.merchant.order_in("shopify", str(marker.id), "reserved")
    assert (await scene.merchant.level("SKU-0012"))["reserved"] == 3


async def test_backordered_order_is_filled_when_stock_arrives(scene):
    await orders_chapter.too_large_then_replenished(scene)
    assert scene.story.differences == 0, scene.story.rows


async def test_unknown_sku_holds_the_order_until_the_sku_is_there(scene):
    order = scene.woo.create_order([("LATE-1", 1, "9.00")])
    await order.deliver()
    held = await scene.merchant.order_in("woocommerce", str(order.id), "on_hold")
    assert held["hold"]["reason"] == "unknown_sku"
    await scene.merchant.api.post("/inventory/skus", {"sku": "LATE-1", "name": "Late"})
    await scene.merchant.order_in("woocommerce", str(order.id), "backordered")
    await scene.merchant.api.post(
        "/inventory/bulk", {"items": [{"sku": "LATE-1", "quantity": 1, "warehouse_code": "BER"}]}
    )
    await scene.merchant.order_in("woocommerce", str(order.id), "reserved")
