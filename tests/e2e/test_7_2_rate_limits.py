"""7.2: guessing is stopped after 60 tries a minute; verified channels are not.

Each journey comes from a loopback address of its own, since the limits count by source.
"""

import asyncio

import httpx
from rappit_doubles.channels.shopify import ShopifyShop

GUESSES = 80


def from_address(address: str) -> httpx.AsyncHTTPTransport:
    return httpx.AsyncHTTPTransport(local_address=address)


async def test_guessing_passwords_ends_in_429_with_retry_after(stack):
    async with httpx.AsyncClient(base_url=stack.ingress_url, transport=from_address("127.0.0.71"), timeout=60) as http:
        body = {"email": "nobody@example.com", "password": "guess"}
        answers = await asyncio.gather(*(http.post("/auth/login", json=body) for _ in range(GUESSES)))
    assert {answer.status_code for answer in answers} == {401, 429}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert int(refused.headers["retry-after"]) > 0
    assert refused.json()["code"] == "too_many_requests"


async def test_forged_webhooks_are_limited_while_genuine_ones_pass(scene):
    async with (
        httpx.AsyncClient(transport=from_address("127.0.0.72")) as http,
        ShopifyShop(scene.shop.url, scene.shop.secret, scene.shop.shop_domain, client=http) as shop,
    ):
        order = shop.create_order([("SKU-0020", 1, "1.00")])
        forged = await order.deliver(forge=True, times=GUESSES, concurrently=True)
        assert {answer.status_code for answer in forged} == {401, 429}
        [genuine] = await order.deliver()
    assert genuine.status_code == 200
