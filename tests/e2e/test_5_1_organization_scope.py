"""5.1: no tenant sees another."""

import pytest
from rappit_demo.client import ApiError


async def test_another_merchant_finds_nothing_of_ours(make_merchant, scene):
    order = scene.shop.create_order([("SKU-0018", 1, "1.00")])
    await order.deliver()
    ours = await scene.merchant.order_in("shopify", str(order.id), "reserved")
    other = await make_merchant("Nosy")
    async with other.api:
        assert await other.api.items("/orders") == []
        for path in (
            f"/orders/{ours['id']}",
            f"/inventory/reservations/{ours['id']}",
            f"/channels/{scene.merchant.channels['shopify']['id']}",
        ):
            with pytest.raises(ApiError) as refused:
                await other.api.get(path)
            assert refused.value.status == 404, path
        with pytest.raises(ApiError) as refused:
            await other.api.post(
                "/shipping/shipments",
                {
                    "order_id": ours["id"],
                    "carrier_account_id": other.carrier_accounts["dhl"],
                    "label_format": "pdf",
                    "parcels": [{"weight_kg": "1", "length_cm": "10", "width_cm": "10", "height_cm": "10"}],
                },
            )
        assert refused.value.code == "order_unknown"
        with pytest.raises(ApiError) as refused:
            await other.api.get("/orders/ops/dead-letters")
        assert refused.value.status == 403
