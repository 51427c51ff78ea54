"""A signed webhook is published byte for byte; anything else is refused with its reason."""

import base64
import hashlib
import json
import time
from datetime import UTC, datetime

import httpx
import pytest
from gateway_testkit import (
    SHOP,
    SHOPIFY_SECRET,
    gateway_settings,
    hmac_base64,
    order_body,
    random_client,
    running_gateway,
    shopify_headers,
)
from rappit_common.clock import new_id
from rappit_common.testing.waiting import eventually
from rappit_gateway.endpoints.admission import SUSPECT_BODY_BYTES
from rappit_gateway.messages import RAW_CONTENT_TYPE, WEBHOOK_RECEIVED, WebhookReceivedHeaders
from standardwebhooks.webhooks import Webhook

pytestmark = pytest.mark.server

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def test_accepted_webhook_is_published_unchanged_with_its_headers(gateway, received):
    organization_id = new_id()
    channel = await gateway.connect(organization_id)
    assert channel["webhook_url"] == f"http://ingress.test/webhooks/{channel['id']}"
    body = order_body() + b"\n\xff\x00 raw"
    headers = shopify_headers(SHOPIFY_SECRET, body, x_shopify_webhook_id="w-1", traceparent=TRACEPARENT)
    answer = await gateway.deliver(channel, body, headers)
    assert answer.status_code == 200, answer.text
    message = await received.having(answer.json()["id"])
    assert message.body == body
    assert (message.type, message.content_type) == (WEBHOOK_RECEIVED, RAW_CONTENT_TYPE)
    assert message.delivery_mode == 2
    read = WebhookReceivedHeaders.model_validate(message.headers)
    assert (read.organization_id, str(read.channel_id)) == (organization_id, channel["id"])
    assert (read.provider, read.topic, read.source) == ("shopify", "orders/create", SHOP)
    assert (read.delivery_id, read.dedupe_key) == ("w-1", "shopify:w-1")
    assert read.content_type == "application/json"
    assert abs(read.received_at.timestamp() - time.time()) < 60
    assert read.traceparent.startswith("00-4bf92f3577b34da6a3ce929d0e0e4736-")
    assert read.traceparent != TRACEPARENT
    assert answer.headers["x-trace-id"] == "4bf92f3577b34da6a3ce929d0e0e4736"


async def test_trace_begins_here_when_none_came(gateway, received):
    channel = await gateway.connect()
    answer = await gateway.deliver(channel, order_body())
    message = await received.having(answer.json()["id"])
    assert message.headers["traceparent"].split("-")[1] == answer.headers["x-trace-id"]


async def test_malformed_json_with_a_good_signature_is_accepted(gateway, received):
    channel = await gateway.connect()
    answer = await gateway.deliver(channel, b'{"id": ')
    assert answer.status_code == 200
    assert (await received.having(answer.json()["id"])).body == b'{"id": '


async def test_standard_webhooks_and_woocommerce_are_accepted(gateway, received):
    standard = await gateway.connect(provider="standard_webhooks", secret=None, shop_domain=None)
    body = json.dumps({"type": "order.created", "data": {}}).encode()
    now_s = int(time.time())
    signature = Webhook(standard["secret"]).sign("msg_7", datetime.fromtimestamp(now_s, UTC), body.decode())
    signed = {"webhook-id": "msg_7", "webhook-timestamp": str(now_s), "webhook-signature": signature}
    answer = await gateway.deliver(standard, body, signed)
    assert answer.status_code == 200, answer.text
    headers = (await received.having(answer.json()["id"])).headers
    assert (headers["rappit-provider"], headers["rappit-dedupe-key"]) == ("standard_webhooks", "standard:msg_7")

    woo = await gateway.connect(provider="woocommerce", secret=None, shop_domain=None)
    body = b'{"id":727}'
    signed = {
        "x-wc-webhook-signature": hmac_base64(woo["secret"], body),
        "x-wc-webhook-topic": "order.created",
        "x-wc-webhook-source": "https://any.example.com/",
    }
    answer = await gateway.deliver(woo, body, signed)
    assert answer.status_code == 200, answer.text
    headers = (await received.having(answer.json()["id"])).headers
    assert headers["rappit-dedupe-key"] == f"woo:order.created:727:{hashlib.sha256(body).hexdigest()}"


async def test_woos_ping_is_answered_and_nothing_is_published(gateway, received):
    woo = await gateway.connect(provider="woocommerce", secret=None, shop_domain=None)
    form = {"content-type": "application/x-www-form-urlencoded"}
    answer = await gateway.deliver(woo, b"webhook_id=7", form)
    assert answer.status_code == 200
    # Published after it: were the ping published, it would have come first.
    marker = await gateway.deliver(await gateway.connect(), order_body())
    await received.having(marker.json()["id"])
    assert [m for m in received.messages if m.headers["rappit-channel-id"] == woo["id"]] == []
    refused = await gateway.deliver(woo, b"webhook_id=7&more=1", form)
    assert (refused.status_code, refused.json()["code"]) == (401, "missing_signature")


async def test_refusals_name_their_reason(gateway):
    channel = await gateway.connect()
    body = order_body()
    url = f"/webhooks/{channel['id']}"
    good = shopify_headers(SHOPIFY_SECRET, body)
    unsigned = {name: value for name, value in good.items() if name != "x-shopify-hmac-sha256"}
    cases = [
        (f"/webhooks/{new_id()}", good, 404, "unknown_channel"),
        ("/webhooks/nonsense", good, 404, "unknown_channel"),
        (url, shopify_headers("another-secret-0123456789", body), 401, "bad_signature"),
        (url, unsigned, 401, "missing_signature"),
        (url, {**good, "x-shopify-shop-domain": "other.myshopify.com"}, 403, "wrong_source"),
    ]
    for path, headers, status, code in cases:
        answer = await gateway.http.post(path, content=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (status, code), path
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["trace_id"] == answer.headers["x-trace-id"]
    answer = await gateway.http.get(url)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_expired_timestamp_is_refused(gateway):
    channel = await gateway.connect(provider="standard_webhooks", secret=None, shop_domain=None)
    then_s = int(time.time()) - 400
    signature = Webhook(channel["secret"]).sign("msg_8", datetime.fromtimestamp(then_s, UTC), "{}")
    headers = {"webhook-id": "msg_8", "webhook-timestamp": str(then_s), "webhook-signature": signature}
    answer = await gateway.deliver(channel, b"{}", headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "expired_timestamp")


async def test_body_over_the_limit_is_refused_announced_or_not(sandbox):
    async with running_gateway(await gateway_settings(sandbox, webhook_body_limit_bytes=2_048)) as gateway:
        channel = await gateway.connect()
        body = b"x" * 2_049
        announced = await gateway.deliver(channel, body)
        assert (announced.status_code, announced.json()["code"]) == (413, "body_too_large")

        async def chunks():
            for start in range(0, len(body), 512):
                yield body[start : start + 512]

        headers = shopify_headers(SHOPIFY_SECRET, body)
        chunked = await gateway.http.post(f"/webhooks/{channel['id']}", content=chunks(), headers=headers)
        assert (chunked.status_code, chunked.json()["code"]) == (413, "body_too_large")
        assert chunked.headers["connection"] == "close"
        assert (await gateway.deliver(channel, b"x" * 2_048)).status_code == 200


async def test_unverified_traffic_is_limited_by_source_and_verified_is_not(sandbox, received):
    async with running_gateway(await gateway_settings(sandbox, unverified_per_minute=5)) as gateway:
        channel = await gateway.connect()
        body = order_body()
        forged = shopify_headers("another-secret-0123456789", body)
        statuses = [(await gateway.deliver(channel, body, forged)).status_code for _ in range(7)]
        assert statuses == [401] * 5 + [429] * 2
        answer = await gateway.http.post(f"/webhooks/{new_id()}", content=body)
        assert (answer.status_code, answer.json()["code"]) == (429, "too_many_requests")
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert (await gateway.deliver(channel, body)).status_code == 200
        transport = httpx.ASGITransport(gateway.http._transport.app, client=random_client())
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as elsewhere:
            answer = await elsewhere.post(f"/webhooks/{channel['id']}", content=body, headers=forged)
            assert answer.status_code == 401


async def test_a_source_over_its_limit_makes_us_read_no_large_body_and_shares_its_address_with_honest_shops(
    sandbox, received
):
    async with running_gateway(await gateway_settings(sandbox, unverified_per_minute=1)) as gateway:
        channel = await gateway.connect()
        large = b"x" * (SUSPECT_BODY_BYTES + 1)
        read = []

        async def told(announced):
            for start in range(0, len(announced), 65_536):
                read.append(start)
                yield announced[start : start + 65_536]

        async def send(body, headers, **announced):
            read.clear()
            return await gateway.http.post(
                f"/webhooks/{channel['id']}", content=told(body), headers={**headers, **announced}
            )

        forged = shopify_headers("another-secret-0123456789", large)
        length = {"content-length": str(len(large))}
        assert (await send(large, forged, **length)).status_code == 401
        assert (await send(large, shopify_headers(SHOPIFY_SECRET, large), **length)).status_code == 200
        assert (await send(b"{}", forged)).status_code == 429
        # Only now is it known to be over.
        refused = await send(large, forged, **length)
        assert (refused.status_code, refused.headers["connection"]) == (429, "close")
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert read == []
        assert (await send(large, forged)).status_code == 429
        assert len(read) == 5
        honest = order_body(note="x" * 100_000)
        assert (await send(honest, shopify_headers(SHOPIFY_SECRET, honest))).status_code == 200


async def test_what_needs_no_body_to_be_refused_is_refused_without_reading_one(gateway):
    channel = await gateway.connect()

    async def never_asked_for():
        raise AssertionError("the body was read")
        yield b""

    for path in (f"/webhooks/{channel['id']}", f"/webhooks/{new_id()}"):
        answer = await gateway.http.post(path, content=never_asked_for(), headers={"content-length": "9000000"})
        assert answer.status_code in {401, 404}
        assert answer.headers["connection"] == "close"


async def test_verified_traffic_is_limited_by_the_channels_own_quota(sandbox, received):
    settings = await gateway_settings(sandbox, channel_quota_per_minute=4)
    async with running_gateway(settings) as gateway, running_gateway(settings, role="api") as other:
        organization_id = new_id()
        channel, neighbour = [await gateway.connect(new) for new in (organization_id, new_id())]
        assert channel["quota_per_minute"] == 4
        processes = (gateway, other, gateway, other, gateway, other)
        answers = [await process.deliver(channel, order_body()) for process in processes]
        assert [answer.status_code for answer in answers] == [200] * 4 + [429] * 2
        assert answers[-1].json()["code"] == "quota_exceeded"
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 15
        assert (await gateway.deliver(neighbour, order_body())).status_code == 200
        path, owner = f"/channels/{channel['id']}", gateway.owner(organization_id)
        changed = await gateway.http.patch(path, json={"quota_per_minute": 1_000}, headers=owner)
        assert changed.json()["quota_per_minute"] == 1_000

        # What was used up comes back at the new pace: one every 60 ms.
        async def accepted():
            return (await gateway.deliver(channel, order_body())).status_code == 200

        await eventually(accepted, within_s=5)
        # Forgeries do not spend it.
        forged = shopify_headers("another-secret-0123456789", b"{}")
        small = await gateway.connect(new_id(), quota_per_minute=1)
        assert (await gateway.deliver(small, b"{}", forged)).status_code == 401
        assert (await gateway.deliver(small, b"{}")).status_code == 200
        assert (await gateway.deliver(small, b"{}")).status_code == 429


async def test_limit_is_open_while_redis_is_away(sandbox):
    settings = await gateway_settings(sandbox, unverified_per_minute=1, redis_url="redis://127.0.0.1:1/0")
    async with running_gateway(settings) as gateway:
        channel = await gateway.connect()
        forged = shopify_headers("another-secret-0123456789", b"{}")
        assert [(await gateway.deliver(channel, b"{}", forged)).status_code for _ in range(3)] == [401] * 3
        small = await gateway.connect(quota_per_minute=1)
        assert [(await gateway.deliver(small, order_body())).status_code for _ in range(3)] == [200] * 3


async def test_secret_key_of_another_process_is_a_clear_503(sandbox, gateway):
    channel = await gateway.connect()
    other = base64.urlsafe_b64encode(bytes(reversed(range(32)))).decode()
    async with running_gateway(await gateway_settings(sandbox, encryption_key=other)) as stranger:
        answer = await stranger.deliver(channel, b"{}")
        assert (answer.status_code, answer.json()["code"]) == (503, "channels_away")
        assert int(answer.headers["retry-after"]) >= 1
