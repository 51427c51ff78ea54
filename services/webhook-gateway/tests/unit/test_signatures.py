"""A webhook is believed only when one of the channel's own secrets signed its very bytes."""

import base64
import hashlib
import hmac
import time
from datetime import UTC, datetime

import pytest
from rappit_common.clock import new_id
from rappit_gateway.domain.channels import KnownChannel, Provider, signing_key
from rappit_gateway.domain.signatures import (
    BadSignatureError,
    ExpiredTimestampError,
    MissingSignatureError,
    WrongSourceError,
    is_activation_ping,
    verify,
)
from standardwebhooks.webhooks import Webhook

NOW_S = 1_614_265_330.0
VECTOR_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SHOPIFY_SECRET = "a-secret-of-shopify-1"
BODY = b'{"id":727,"total":"29.35"}'


def channel(provider, *secrets, source=None):
    keys = tuple(signing_key(provider, *((s,) if isinstance(s, str) else s)) for s in secrets)
    return KnownChannel(new_id(), new_id(), provider, source, keys)


def signed(secret, body):
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest())


def shopify(body=BODY, secret=SHOPIFY_SECRET, **changes):
    headers = {
        b"x-shopify-hmac-sha256": signed(secret, body),
        b"x-shopify-shop-domain": b"My-Shop.myshopify.com",
        b"x-shopify-topic": b"orders/create",
        b"x-shopify-webhook-id": b"b54557e4",
    }
    headers.update({name.replace("_", "-").encode(): value for name, value in changes.items()})
    return {name: value for name, value in headers.items() if value is not None}


SHOPIFY = channel(Provider.SHOPIFY, "a-secret-of-shopify-1", source="my-shop.myshopify.com")
WOO = channel(Provider.WOOCOMMERCE, "a-secret-of-a-woo-shop")
STANDARD = channel(Provider.STANDARD_WEBHOOKS, VECTOR_SECRET)
VECTOR_BODY = b'{"test": 2432232314}'
VECTOR_HEADERS = {
    b"webhook-id": b"msg_p5jXN8AQM9LWM0D4loKWxJek",
    b"webhook-timestamp": b"1614265330",
    b"webhook-signature": b"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}


def test_shopify_delivery_is_read_from_its_headers():
    delivery = verify(SHOPIFY, shopify(), BODY, NOW_S)
    assert (delivery.topic, delivery.delivery_id) == ("orders/create", "b54557e4")
    assert (delivery.dedupe_key, delivery.source) == ("shopify:b54557e4", "my-shop.myshopify.com")


@pytest.mark.parametrize("body", [BODY + b" ", BODY.replace(b"29", b"19"), b""])
def test_tampered_body_is_refused(body):
    with pytest.raises(BadSignatureError):
        verify(SHOPIFY, shopify(), body, NOW_S)


def test_body_that_is_no_json_and_no_text_is_verified_all_the_same():
    body = bytes(range(256))
    assert verify(SHOPIFY, shopify(body), body, NOW_S).topic == "orders/create"


def test_missing_signature_and_wrong_secret_are_told_apart():
    with pytest.raises(MissingSignatureError):
        verify(SHOPIFY, shopify(x_shopify_hmac_sha256=None), BODY, NOW_S)
    with pytest.raises(BadSignatureError):
        verify(SHOPIFY, shopify(secret="another-secret-of-it"), BODY, NOW_S)
    with pytest.raises(BadSignatureError):
        verify(SHOPIFY, shopify(x_shopify_hmac_sha256=b"\xff\x00 no base64"), BODY, NOW_S)


def test_another_shop_is_refused_even_with_a_good_signature():
    with pytest.raises(WrongSourceError):
        verify(SHOPIFY, shopify(x_shopify_shop_domain=b"other.myshopify.com"), BODY, NOW_S)
    with pytest.raises(WrongSourceError):
        verify(SHOPIFY, shopify(x_shopify_shop_domain=None), BODY, NOW_S)


def test_rotated_secret_holds_until_it_expires():
    rotated = channel(
        Provider.SHOPIFY, "the-new-secret-here", ("a-secret-of-shopify-1", NOW_S + 60), source="my-shop.myshopify.com"
    )
    assert verify(rotated, shopify(), BODY, NOW_S)
    assert verify(rotated, shopify(secret="the-new-secret-here"), BODY, NOW_S)
    with pytest.raises(BadSignatureError):
        verify(rotated, shopify(), BODY, NOW_S + 60)


def test_long_webhook_ids_stay_different():
    one, other = (verify(SHOPIFY, shopify(x_shopify_webhook_id=b"x" * 400 + end), BODY, NOW_S) for end in (b"1", b"2"))
    assert one.dedupe_key != other.dedupe_key
    assert len(one.dedupe_key) < 100


def woo(body=BODY, **changes):
    headers = {
        b"x-wc-webhook-signature": signed("a-secret-of-a-woo-shop", body),
        b"x-wc-webhook-source": b"https://Shop.example.com/",
        b"x-wc-webhook-topic": b"order.updated",
        b"x-wc-webhook-delivery-id": b"e7a1b0c2",
    }
    headers.update({name.replace("_", "-").encode(): value for name, value in changes.items()})
    return headers


def test_woo_deliveries_of_one_second_have_keys_of_their_own():
    other_body = b'{"id":728,"total":"29.35"}'
    one, other = verify(WOO, woo(), BODY, NOW_S), verify(WOO, woo(other_body), other_body, NOW_S)
    assert one.delivery_id == other.delivery_id == "e7a1b0c2"
    assert one.dedupe_key == f"woo:order.updated:727:{hashlib.sha256(BODY).hexdigest()}"
    assert other.dedupe_key.startswith("woo:order.updated:728:")


def test_woo_body_without_an_id_has_a_key_by_its_hash():
    body = b"[]"
    assert verify(WOO, woo(body), body, NOW_S).dedupe_key.startswith("woo:order.updated::")


def test_woo_source_is_bound_when_given():
    bound = channel(Provider.WOOCOMMERCE, "a-secret-of-a-woo-shop", source="https://shop.example.com")
    assert verify(bound, woo(), BODY, NOW_S).source == "https://Shop.example.com/"
    with pytest.raises(WrongSourceError):
        verify(bound, woo(x_wc_webhook_source=b"https://other.example.com/"), BODY, NOW_S)


FORM = {b"content-type": b"application/x-www-form-urlencoded; charset=UTF-8", b"content-length": b"13"}


@pytest.mark.parametrize(
    ("known", "headers", "body", "expected"),
    [
        (WOO, FORM, b"webhook_id=12", True),
        (WOO, FORM, b"webhook_id=12&x=1", False),
        (WOO, FORM, b"webhook_id=", False),
        (WOO, {**FORM, b"content-type": b"application/json"}, b"webhook_id=12", False),
        (WOO, {**FORM, b"content-length": b"32"}, b"webhook_id=12", False),
        (WOO, {**FORM, b"content-length": b"9" * 5_000}, b"webhook_id=12", False),
        (WOO, {b"content-type": FORM[b"content-type"]}, b"webhook_id=12", False),
        (WOO, {**FORM, b"x-wc-webhook-signature": b"x"}, b"webhook_id=12", False),
        (SHOPIFY, FORM, b"webhook_id=12", False),
    ],
)
def test_only_woos_own_ping_goes_unsigned(known, headers, body, expected):
    assert is_activation_ping(known, headers, body) is expected


def test_standard_webhooks_published_vector():
    delivery = verify(STANDARD, VECTOR_HEADERS, VECTOR_BODY, NOW_S)
    assert delivery.dedupe_key == "standard:msg_p5jXN8AQM9LWM0D4loKWxJek"
    assert delivery.topic == ""


def test_standard_webhooks_as_its_own_library_signs():
    now_s = time.time()
    signature = Webhook(VECTOR_SECRET).sign("msg_1", datetime.fromtimestamp(int(now_s), UTC), BODY.decode())
    headers = {
        b"webhook-id": b"msg_1",
        b"webhook-timestamp": str(int(now_s)).encode(),
        b"webhook-signature": signature.encode(),
    }
    assert verify(STANDARD, headers, BODY, now_s).delivery_id == "msg_1"


@pytest.mark.parametrize("before", [b"v1,AAAA ", b"v1a,xyz ", b"v2 ", b"nonsense ", b"v1, ", b", ,, "])
def test_one_good_signature_of_several_is_enough(before):
    headers = {**VECTOR_HEADERS, b"webhook-signature": before + VECTOR_HEADERS[b"webhook-signature"]}
    assert verify(STANDARD, headers, VECTOR_BODY, NOW_S)


@pytest.mark.parametrize(
    "token", [b"v1", b"v1,", b"v1,\xff\xfe", b",", b"v1,a,b", b"g0hM9SsE", b"v1,=====", b"v1a,g0hM"]
)
def test_malformed_signature_token_is_a_bad_signature(token):
    with pytest.raises(BadSignatureError):
        verify(STANDARD, {**VECTOR_HEADERS, b"webhook-signature": token}, VECTOR_BODY, NOW_S)


@pytest.mark.parametrize("absent", list(VECTOR_HEADERS))
def test_each_standard_header_is_needed(absent):
    with pytest.raises(MissingSignatureError):
        verify(STANDARD, {k: v for k, v in VECTOR_HEADERS.items() if k != absent}, VECTOR_BODY, NOW_S)


@pytest.mark.parametrize("away_s", [-301, 301])
def test_timestamp_more_than_five_minutes_away_is_expired(away_s):
    with pytest.raises(ExpiredTimestampError):
        verify(STANDARD, VECTOR_HEADERS, VECTOR_BODY, NOW_S + away_s)
    assert verify(STANDARD, VECTOR_HEADERS, VECTOR_BODY, NOW_S + away_s * 0.99)


@pytest.mark.parametrize("timestamp", [b"now", b"-1614265330", b"1614265330.5", b"9" * 40])
def test_signed_timestamp_that_is_no_time_is_refused_not_a_crash(timestamp):
    key = signing_key(Provider.STANDARD_WEBHOOKS, VECTOR_SECRET).key
    digest = hmac.digest(key, b"msg_1." + timestamp + b"." + BODY, "sha256")
    headers = {
        b"webhook-id": b"msg_1",
        b"webhook-timestamp": timestamp,
        b"webhook-signature": b"v1," + base64.b64encode(digest),
    }
    with pytest.raises(ExpiredTimestampError):
        verify(STANDARD, headers, BODY, NOW_S)
