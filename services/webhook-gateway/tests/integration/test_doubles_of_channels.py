"""Webhooks as the channel doubles sign them are accepted as they are, and their forgeries are not."""

import httpx
import pytest
from gateway_testkit import SHOP, SHOPIFY_SECRET
from rappit_doubles.channels.shopify import ShopifyShop
from rappit_doubles.channels.standard import GenericHmacSender, StandardWebhooksSender
from rappit_doubles.channels.woo import WooStore

pytestmark = pytest.mark.server


@pytest.fixture
def client(gateway):
    return httpx.AsyncClient(transport=gateway.http._transport)


async def test_each_double_is_accepted(gateway, received, client):
    shopify = await gateway.connect()
    woo = await gateway.connect(provider="woocommerce", secret=None, shop_domain=None)
    standard = await gateway.connect(provider="standard_webhooks", secret=None, shop_domain=None)
    generic = await gateway.connect(provider="generic_hmac", secret=None, shop_domain=None)
    shops = [
        ShopifyShop(shopify["webhook_url"], SHOPIFY_SECRET, SHOP, client=client),
        WooStore(woo["webhook_url"], woo["secret"], client=client),
        StandardWebhooksSender(standard["webhook_url"], standard["secret"], client=client),
        GenericHmacSender(generic["webhook_url"], generic["secret"], client=client),
    ]
    for shop, channel in zip(shops, (shopify, woo, standard, generic), strict=True):
        answers = await shop.create_order([("SKU-1", 2, "9.90")]).deliver(times=2)
        keys = set()
        for answer in answers:
            assert answer.status_code == 200, answer.text
            message = await received.having(answer.json()["id"])
            assert message.headers["rappit-channel-id"] == channel["id"]
            keys.add(message.headers["rappit-dedupe-key"])
        assert len(answers) == 2
        assert len(keys) == 1


async def test_woo_doubles_ping_is_answered(gateway, client):
    woo = await gateway.connect(provider="woocommerce", secret=None, shop_domain=None)
    assert (await WooStore(woo["webhook_url"], woo["secret"], client=client).ping()).status_code == 200


async def test_a_double_with_another_secret_is_refused(gateway, client):
    channel = await gateway.connect()
    shop = ShopifyShop(channel["webhook_url"], "another-secret-0123456789", SHOP, client=client)
    [answer] = await shop.create_order([("SKU-1", 1, "9.90")]).deliver()
    assert (answer.status_code, answer.json()["code"]) == (401, "bad_signature")
