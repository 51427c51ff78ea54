"""4.1: valid webhooks are processed; modified, unsigned and misdirected ones are refused."""

import httpx
import pytest
from rappit_common.clock import new_id


async def test_each_channels_genuine_webhook_becomes_an_order(scene):
    for channel, double in (("shopify", scene.shop), ("woocommerce", scene.woo), ("standard_webhooks", scene.standard)):
        order = double.create_order([("SKU-0016", 1, "1.00")])
        [answer] = await order.deliver()
        assert answer.status_code == 200, answer.text
        await scene.merchant.order_in(channel, str(order.id), "reserved")


@pytest.mark.parametrize("which", ["shop", "woo", "standard"])
async def test_forged_signature_is_401(scene, which):
    order = getattr(scene, which).create_order([("SKU-0016", 1, "1.00")])
    [answer] = await order.deliver(forge=True)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"


async def test_unsigned_is_401_and_unknown_channel_is_404(scene):
    unsigned = httpx.AsyncClient()
    async with unsigned:
        refused = await unsigned.post(scene.shop.url, content=b"{}")
        unknown = await unsigned.post(f"{scene.base_url}/webhooks/{new_id()}", content=b"{}")
    assert (refused.status_code, unknown.status_code) == (401, 404)


async def test_genuine_webhook_of_another_shop_is_refused(scene):
    order = scene.shop.create_order([("SKU-0016", 1, "1.00")])
    [answer] = await order.deliver(headers={"X-Shopify-Shop-Domain": "somebody-else.myshopify.com"})
    assert answer.status_code in {401, 403}


async def test_body_over_the_limit_is_413(scene):
    order = scene.shop.create_order([("SKU-0016", 1, "1.00")])
    [answer] = await order.deliver(body_override=b"x" * (11 * 1024 * 1024))
    assert answer.status_code == 413
