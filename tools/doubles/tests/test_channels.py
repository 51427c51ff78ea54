"""What the channels put on the wire, judged by code of others: hmac over the raw bytes, and standardwebhooks."""

import asyncio
import base64
import hashlib
import hmac
import json
import random
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from rappit_doubles.channels import (
    GenericHmacSender,
    Retries,
    ShopifyShop,
    StandardWebhooksSender,
    WebhookDisabledError,
    WooStore,
    standard_signature,
)
from rappit_doubles.channels.app import channels_app
from rappit_doubles.serving import serving
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

SECRET = "a-shared-secret-of-the-app"
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


class Receiver:
    """An endpoint that keeps what it gets, and answers what it is told to."""

    def __init__(self):
        self.got = []
        self.statuses = []
        self.app = FastAPI()
        self.app.add_api_route("/hook", self.hook, methods=["POST"])

    async def hook(self, request: Request):
        self.got.append((request.headers, await request.body()))
        return Response(status_code=self.statuses.pop(0) if self.statuses else 200)


@pytest.fixture
def receiver():
    return Receiver()


@pytest.fixture
def url(receiver):
    with serving(receiver.app) as base:
        yield f"{base}/hook"


def signature(body):
    return base64.b64encode(hmac.new(SECRET.encode(), body, hashlib.sha256).digest()).decode()


async def test_shopify_signs_the_raw_bytes_and_sends_every_header(receiver, url):
    async with ShopifyShop(url, SECRET, "demo.myshopify.com", clock=lambda: NOW, rng=random.Random(7)) as shop:
        order = shop.create_order([("MUG", 2, "12.50"), ("MUG", 1, "12.50"), (None, 1, "3")], note="Rock & <roll>")
        assert [answer.status_code for answer in await order.deliver()] == [200]
    headers, body = receiver.got[0]
    assert headers["x-shopify-hmac-sha256"] == signature(body)
    assert headers["x-shopify-topic"] == "orders/create"
    assert headers["x-shopify-shop-domain"] == "demo.myshopify.com"
    assert headers["x-shopify-triggered-at"] == "2026-11-23T12:00:00Z"
    assert {"x-shopify-webhook-id", "x-shopify-event-id", "x-shopify-api-version"} <= set(headers)
    told = json.loads(body)
    assert told["id"] > 2**32
    assert told["note"] == "Rock & <roll>"
    assert b"Rock \\u0026 \\u003croll\\u003e" in body
    assert told["total_price"] == "40.50"
    assert told["total_price_set"]["shop_money"] == {"amount": "40.50", "currency_code": "EUR"}
    assert [(line["sku"], line["current_quantity"]) for line in told["line_items"]] == [
        ("MUG", 2),
        ("MUG", 1),
        (None, 1),
    ]


async def test_shopify_repeats_one_delivery_under_one_id(receiver, url):
    async with ShopifyShop(url, SECRET) as shop:
        order = shop.create_order([("MUG", 1, "1")])
        assert len(await order.deliver(times=5, concurrently=True)) == 5
        await order.deliver()
    ids = [headers["x-shopify-webhook-id"] for headers, _ in receiver.got]
    assert len(set(ids[:5])) == 1
    assert len(set(ids)) == 2
    assert len({body for _, body in receiver.got}) == 1


async def test_shopify_edits_cancels_and_refunds(url):
    async with ShopifyShop(url, SECRET, clock=lambda: NOW) as shop:
        order = shop.create_order([("A", 2, "10"), ("B", 1, "5")])
        created = order.payload()
        order.edit({"A": 5}, remove=["B"], add=[("C", 1, "2.00")])
        edited = order.payload()
        assert order.topic == "orders/updated"
        assert edited["updated_at"] > created["updated_at"]
        lines = {line["sku"]: line for line in edited["line_items"]}
        assert {sku: line["current_quantity"] for sku, line in lines.items()} == {"A": 5, "B": 0, "C": 1}
        assert (lines["B"]["quantity"], lines["B"]["fulfillable_quantity"]) == (1, 0)
        assert edited["current_total_price"] == "52.00"
        changed = order.payload("orders/edited")["order_edit"]["line_items"]
        assert [entry["delta"] for entry in changed["additions"]] == [3, 1]
        assert [entry["delta"] for entry in changed["removals"]] == [1]
        order.refund({"A": 2})
        refund = order.payload()
        assert (refund["order_id"], refund["refund_line_items"][0]["quantity"]) == (order.id, 2)
        assert order.payload("orders/updated")["financial_status"] == "partially_refunded"
        order.cancel()
        cancelled = order.payload()
        assert cancelled["cancelled_at"] == cancelled["updated_at"] > edited["updated_at"]
        assert {line["fulfillable_quantity"] for line in cancelled["line_items"]} == {0}
        with pytest.raises(ValueError, match="cancelled"):
            order.edit({"A": 1})


async def test_a_sku_on_two_lines_must_be_edited_by_line_id(url):
    async with ShopifyShop(url, SECRET) as shop:
        order = shop.create_order([("A", 1, "1"), ("A", 2, "1")])
        with pytest.raises(LookupError, match="2 lines"):
            order.edit({"A": 3})
        order.edit({order.basket.lines[1].id: 3})
        assert [line.current for line in order.basket.lines] == [1, 3]


async def test_a_forged_signature_is_wrong_and_an_overridden_body_is_rightly_signed(receiver, url):
    async with ShopifyShop(url, SECRET) as shop:
        order = shop.create_order([("A", 1, "1")])
        await order.deliver(forge=True)
        await order.deliver(body_override=b"{poison")
    (forged, forged_body), (rightly, poison) = receiver.got
    assert forged["x-shopify-hmac-sha256"] != signature(forged_body)
    assert poison == b"{poison"
    assert rightly["x-shopify-hmac-sha256"] == signature(poison)


async def test_shopify_retries_the_original_payload_only_when_asked_to(receiver, url):
    receiver.statuses = [500, 503, 200]
    async with ShopifyShop(url, SECRET, retries=Retries.shopify(scale=0.00001)) as shop:
        answers = await shop.create_order([("A", 1, "1")]).deliver()
        assert [answer.status_code for answer in answers] == [500, 503, 200]
        assert [delivery.attempt for delivery in shop.deliveries] == [1, 2, 3]
    assert len({(headers["x-shopify-webhook-id"], body) for headers, body in receiver.got}) == 1
    receiver.statuses = [500]
    async with ShopifyShop(url, SECRET) as shop:
        assert [answer.status_code for answer in await shop.create_order([("A", 1, "1")]).deliver()] == [500]


async def test_a_refused_connection_is_raised_and_remembered():
    async with ShopifyShop("http://127.0.0.1:1/hook", SECRET) as shop:
        with pytest.raises(httpx.ConnectError):
            await shop.create_order([("A", 1, "1")]).deliver()
        assert shop.deliveries[0].status is None
        assert "ConnectError" in shop.deliveries[0].error


async def test_woo_signs_and_sends_every_header(receiver, url):
    async with WooStore(url, SECRET, "https://shop.example/", clock=lambda: NOW, rng=random.Random(3)) as store:
        first, second = (store.create_order([("A", 2, "9.90")]) for _ in range(2))
        await first.deliver()
        await second.deliver()
        first.set_status("cancelled")
        await first.deliver()
        first.trash()
        await first.deliver()
    headers, body = receiver.got[0]
    assert headers["x-wc-webhook-signature"] == signature(body)
    expected = {"source": "https://shop.example/", "topic": "order.created", "resource": "order", "event": "created"}
    assert {name: headers[f"x-wc-webhook-{name}"] for name in expected} == expected
    # Same webhook, same second: same delivery id, which is why nobody may dedupe on it.
    assert receiver.got[1][0]["x-wc-webhook-delivery-id"] == headers["x-wc-webhook-delivery-id"]
    assert b"J\\u00f6rg" in body
    told = json.loads(body)
    assert (told["status"], told["total"], told["line_items"][0]["quantity"]) == ("processing", "19.80", 2)
    cancelled = receiver.got[2]
    assert cancelled[0]["x-wc-webhook-topic"] == "order.updated"
    assert json.loads(cancelled[1])["status"] == "cancelled"
    assert json.loads(receiver.got[3][1]) == {"id": first.id}


async def test_woo_refunds_arrive_as_an_update_with_negative_totals(url):
    async with WooStore(url, SECRET) as store:
        order = store.create_order([("A", 2, "9.90")])
        order.refund({"A": 1}, reason="broken")
        told = order.payload()
        assert order.topic == "order.updated"
        assert (told["refunds"][0]["total"], told["line_items"][0]["quantity"]) == ("-9.90", 2)
        assert order.refund_resource()["line_items"][0]["quantity"] == -1


async def test_woo_pings_unsigned_never_retries_and_gives_up_after_seven_failures(receiver, url):
    async with WooStore(url, SECRET) as store:
        assert (await store.ping()).status_code == 200
        headers, body = receiver.got[0]
        assert body == b"webhook_id=17"
        assert not [name for name in headers if name.startswith("x-wc-")]
        receiver.statuses = [503] * 7
        order = store.create_order([("A", 1, "1")])
        for _ in range(7):
            assert [answer.status_code for answer in await order.deliver()] == [503]
        with pytest.raises(WebhookDisabledError):
            await order.deliver()
        store.enable()
        assert [answer.status_code for answer in await order.deliver()] == [200]


def test_standard_webhooks_vector():
    signed = standard_signature(
        WHSEC, message_id="msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp_s=1614265330, body=b'{"test": 2432232314}'
    )
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_standard_webhooks_are_verified_by_its_own_library(receiver, url):
    async with StandardWebhooksSender(url, WHSEC) as sender:
        order = sender.create_order([("A", 2, "12.50")])
        await order.deliver()
        await order.deliver(forge=True)
    headers, body = receiver.got[0]
    told = Webhook(WHSEC).verify(body, dict(headers))
    assert told["type"] == "order.created"
    data = told["data"]
    assert (data["total"], data["payment_status"], data["cancelled_at"]) == ("25.00", "paid", None)
    assert data["lines"][0] | {"id": ""} == {
        "id": "",
        "sku": "A",
        "name": "Product A",
        "quantity": 2,
        "unit_price": "12.50",
        "requires_shipping": True,
    }
    assert data["shipping_address"]["country_code"] == "DE"
    with pytest.raises(WebhookVerificationError):
        Webhook(WHSEC).verify(receiver.got[1][1], dict(receiver.got[1][0]))


async def test_standard_webhooks_sign_with_both_secrets_while_they_rotate(receiver, url):
    other = "whsec_" + base64.b64encode(bytes(range(32))).decode()
    async with StandardWebhooksSender(url, WHSEC, more_secrets=[other]) as sender:
        order = sender.create_order([("A", 1, "1")])
        order.edit({"A": 4})
        await order.deliver()
    headers, body = receiver.got[0]
    for secret in (WHSEC, other):
        assert Webhook(secret).verify(body, dict(headers))["type"] == "order.updated"


async def test_generic_hmac_signs_the_raw_bytes_in_a_header_of_its_own(receiver, url):
    async with GenericHmacSender(
        url, SECRET, signature_header="X-Acme-Signature", prefix="sha256=", id_header="X-Acme-Id"
    ) as sender:
        order = sender.create_order([("A", 1, "1")])
        assert len(await order.deliver(times=2)) == 2
        await order.deliver(forge=True)
    (headers, body), (again, _), (forged, _) = receiver.got
    expected = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    assert headers["x-acme-signature"] == expected != forged["x-acme-signature"]
    assert headers["x-acme-id"] == again["x-acme-id"] != forged["x-acme-id"]
    assert json.loads(body)["type"] == "order.created"


async def test_a_stale_timestamp_is_stale_to_the_library_too(receiver, url):
    async with StandardWebhooksSender(url, WHSEC, clock=lambda: datetime.now(UTC) - timedelta(minutes=6)) as sender:
        order = sender.create_order([("A", 1, "1")])
        order.cancel()
        await order.deliver()
    headers, body = receiver.got[0]
    assert json.loads(body)["data"]["payment_status"] == "refunded"
    with pytest.raises(WebhookVerificationError, match="old"):
        Webhook(WHSEC).verify(body, dict(headers))


@pytest.mark.parametrize("secret", ["whsec_c2hvcnQ=", "no-prefix", "whsec_%%%"])
def test_a_malformed_standard_secret_is_refused(secret):
    with pytest.raises(ValueError, match=r"secret|base64|padding"):
        StandardWebhooksSender("http://localhost/", secret)


async def test_a_seeded_run_repeats_itself():
    def run():
        shop = ShopifyShop("http://localhost/", SECRET, clock=lambda: NOW, rng=random.Random(11))
        return shop.create_order([("A", 1, "1")]).payload()

    assert run() == run()


@pytest.mark.parametrize(
    ("kind", "secret"), [("shopify", SECRET), ("woo", SECRET), ("standard", WHSEC), ("generic", SECRET)]
)
async def test_the_application_plays_a_shop_by_hand(receiver, url, kind, secret):
    with serving(channels_app()) as base:
        async with httpx.AsyncClient(base_url=base) as http:
            assert (await http.get("/health/ready")).status_code == 200
            shop = (await http.post(f"/shops/{kind}", json={"url": url, "secret": secret})).json()["id"]
            order = await http.post(f"/shops/{shop}/orders", json={"lines": [{"sku": "A", "quantity": 2}]})
            assert (order.status_code, order.json()["statuses"]) == (201, [200])
            path = f"/shops/{shop}/orders/{order.json()['id']}"
            assert (await http.post(f"{path}/edit", json={"quantities": {"A": 3}})).json()["statuses"] == [200]
            assert (await http.post(f"{path}/edit", json={"quantities": {"B": 3}})).status_code == 409
            assert (await http.post(f"{path}/cancel")).json()["statuses"] == [200]
            sent = await http.post(f"{path}/deliver", json={"times": 3, "concurrently": True, "forge": True})
            assert sent.json()["statuses"] == [200] * 3
            deliveries = (await http.get(f"/shops/{shop}/deliveries")).json()
            assert [delivery["status"] for delivery in deliveries] == [200] * 6
            await http.post(f"/shops/{shop}/api/admin/api/inventory_levels/set.json", json={"available": 4})
            pushed = (await http.get(f"/shops/{shop}/pushes")).json()
            assert [(push["method"], json.loads(push["body"])) for push in pushed] == [("POST", {"available": 4})]
    assert len(receiver.got) == 6


async def test_many_at_once_all_arrive(receiver, url):
    async with ShopifyShop(url, SECRET) as shop:
        orders = [shop.create_order([("A", 1, "1")]) for _ in range(20)]
        await asyncio.gather(*(order.deliver() for order in orders))
    assert len({json.loads(body)["id"] for _, body in receiver.got}) == 20
