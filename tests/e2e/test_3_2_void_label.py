"""3.2: a cancelled shipment is cancelled at the carrier too."""

from rappit_demo import shipping_chapter


async def test_bought_label_is_voided_with_the_carriers_own_confirmation(scene):
    order = await shipping_chapter.reserved_order(scene, "SKU-0014")
    shipment = await shipping_chapter.buy(scene, "dhl", order)
    await shipping_chapter.void(scene, shipment)
    assert scene.story.differences == 0, scene.story.rows
    assert await scene.merchant.level("SKU-0014") == {"total": 10, "reserved": 1, "available": 9}


async def test_buying_twice_under_one_idempotency_key_buys_one_label(scene):
    order = await shipping_chapter.reserved_order(scene, "SKU-0015")
    first = await shipping_chapter.purchase(scene, "dhl", order)
    second = await shipping_chapter.purchase(scene, "dhl", order)
    assert first["id"] == second["id"]
    listed = (await scene.carriers.get("/_control/shipments", params={"carrier": "dhl", "limit": 1000})).json()
    assert sum(first["tracking_number"] in row.values() for row in listed) == 1
