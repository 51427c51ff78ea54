"""A merchant connects shops, rotates their secrets and disconnects them, and sees no other merchant's."""

import base64
import hmac
import json
import time

import asyncpg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from gateway_testkit import SHOPIFY_SECRET, gateway_settings, order_body, running_gateway, shopify_headers
from rappit_common.clock import new_id
from rappit_common.testing.waiting import eventually
from rappit_common.web.auth import Role

pytestmark = pytest.mark.server

NEW_SECRET = "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"


async def test_channels_of_another_organization_do_not_exist(gateway, received):
    mine, theirs = new_id(), new_id()
    channel = await gateway.connect(mine)
    for method, path, body in (
        ("GET", f"/channels/{channel['id']}", None),
        ("DELETE", f"/channels/{channel['id']}", None),
        ("PATCH", f"/channels/{channel['id']}", {"name": "Mine"}),
        ("POST", f"/channels/{channel['id']}/secrets", {"secret": NEW_SECRET}),
    ):
        answer = await gateway.http.request(method, path, json=body, headers=gateway.owner(theirs))
        assert (answer.status_code, answer.json()["code"]) == (404, "channel_not_found")
    listed = await gateway.http.get("/channels", headers=gateway.owner(theirs))
    assert listed.json() == {"items": [], "next_cursor": None}
    assert (await gateway.deliver(channel, order_body())).status_code == 200
    # The same shop may be another organization's too: its secret proves it, not the first to come.
    assert (await gateway.connect(theirs))["shop_domain"] == channel["shop_domain"]


async def test_roles(gateway):
    organization_id = new_id()
    channel = await gateway.connect(organization_id)
    viewer = gateway.owner(organization_id, Role.VIEWER)
    assert (await gateway.http.get("/channels", headers=viewer)).status_code == 200
    assert (await gateway.http.get(f"/channels/{channel['id']}", headers=viewer)).status_code == 200
    refused = await gateway.http.delete(f"/channels/{channel['id']}", headers=viewer)
    assert (refused.status_code, refused.json()["code"]) == (403, "missing_role")
    assert (await gateway.http.get("/channels")).status_code == 401


async def test_list_is_paged_newest_first(gateway):
    organization_id = new_id()
    made = [
        (await gateway.connect(organization_id, provider="woocommerce", shop_domain=None, name=f"Shop {n}"))["id"]
        for n in range(5)
    ]
    seen, cursor = [], None
    while True:
        params = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = (await gateway.http.get("/channels", params=params, headers=gateway.owner(organization_id))).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == made[::-1]
    wrong = await gateway.http.get("/channels", params={"cursor": "x"}, headers=gateway.owner(organization_id))
    assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid_cursor")


async def test_second_channel_of_a_shop_is_refused_until_the_first_is_disconnected(gateway):
    organization_id = new_id()
    first = await gateway.connect(organization_id)
    body = {"provider": "shopify", "name": "Again", "secret": SHOPIFY_SECRET, "shop_domain": first["shop_domain"]}
    refused = await gateway.http.post("/channels", json=body, headers=gateway.owner(organization_id))
    assert (refused.status_code, refused.json()["code"]) == (409, "channel_exists")
    assert refused.json()["channel_id"] == first["id"]
    gone = await gateway.http.delete(f"/channels/{first['id']}", headers=gateway.owner(organization_id))
    assert gone.status_code == 204
    again = await gateway.http.post("/channels", json=body, headers=gateway.owner(organization_id))
    assert again.status_code == 201


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"provider": "shopify", "shop_domain": "a.myshopify.com"}, "secret_required"),
        ({"provider": "shopify", "secret": SHOPIFY_SECRET}, "invalid_source"),
        ({"provider": "shopify", "secret": SHOPIFY_SECRET, "shop_domain": "a.example.com"}, "invalid_source"),
        ({"provider": "woocommerce", "secret": "short"}, "weak_secret"),
        ({"provider": "standard_webhooks", "secret": SHOPIFY_SECRET}, "malformed_secret"),
        ({"provider": "standard_webhooks", "secret": "whpk_" + "A" * 43}, "weak_secret"),
        ({"provider": "generic_hmac", "secret": "short"}, "weak_secret"),
        ({"provider": "generic_hmac", "hmac": {"signature_header": "Host"}}, "invalid_hmac_options"),
        ({"provider": "generic_hmac", "hmac": {"algorithm": "md5"}}, "validation_error"),
        ({"provider": "woocommerce", "hmac": {}}, "invalid_hmac_options"),
        ({"provider": "woocommerce", "quota_per_minute": 0}, "validation_error"),
        ({"provider": "ebay"}, "validation_error"),
        ({"provider": "woocommerce", "nonsense": 1}, "validation_error"),
    ],
)
async def test_unfit_channels_are_refused_with_their_reason(gateway, body, code):
    answer = await gateway.http.post("/channels", json={"name": "Shop", **body}, headers=gateway.owner(new_id()))
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert body.get("secret", "no secret") not in answer.text


async def test_deactivated_channel_is_gone_at_once(gateway, received):
    organization_id = new_id()
    channel = await gateway.connect(organization_id)
    assert (await gateway.deliver(channel, order_body())).status_code == 200
    for _ in range(2):
        answer = await gateway.http.delete(f"/channels/{channel['id']}", headers=gateway.owner(organization_id))
        assert answer.status_code == 204
    answer = await gateway.deliver(channel, order_body())
    assert (answer.status_code, answer.json()["code"]) == (410, "channel_deactivated")
    read = (await gateway.http.get(f"/channels/{channel['id']}", headers=gateway.owner(organization_id))).json()
    assert read["status"] == "deactivated"


async def test_rotation_leaves_no_gap_in_any_process(gateway, sandbox, received):
    organization_id = new_id()
    channel = await gateway.connect(organization_id)
    path = f"/channels/{channel['id']}/secrets"
    async with running_gateway(await gateway_settings(sandbox), role="api") as other:
        body = order_body()
        new = shopify_headers(NEW_SECRET, body)
        assert (await other.deliver(channel, body)).status_code == 200
        assert (await gateway.deliver(channel, body, new)).status_code == 401
        answer = await gateway.http.post(path, json={"secret": NEW_SECRET}, headers=gateway.owner(organization_id))
        assert answer.status_code == 201, answer.text
        assert answer.json()["secret"] is None
        assert [secret["expires_at"] is None for secret in answer.json()["secrets"]] == [False, True]
        for process in (gateway, other):
            assert (await process.deliver(channel, body)).status_code == 200
        assert (await gateway.deliver(channel, body, new)).status_code == 200

        # The other process asks anew when a signature does not fit, once what it knows is a second old.
        async def fits():
            return (await other.deliver(channel, body, new)).status_code == 200

        await eventually(fits, within_s=5)
        at_once = {"secret": SHOPIFY_SECRET + "x", "previous_valid_for_s": 0}
        assert (await gateway.http.post(path, json=at_once, headers=gateway.owner(organization_id))).status_code == 201
        assert (await gateway.deliver(channel, body, new)).status_code == 401


ACME = {
    "signature_header": "X-Acme-Signature",
    "algorithm": "sha512",
    "encoding": "base64",
    "prefix": "v1=",
    "id_header": "X-Acme-Id",
    "topic_header": None,
    "timestamp_header": None,
}


def acme_headers(secret, body, **others):
    signature = base64.b64encode(hmac.digest(secret.encode(), body, "sha512")).decode()
    return {"x-acme-signature": f"v1={signature}", "x-acme-id": "d-1", **others}


async def test_generic_channel_signs_as_it_says_and_says_it_anew(gateway, sandbox, received):
    organization_id = new_id()
    owner = gateway.owner(organization_id)
    usual = await gateway.connect(organization_id, provider="generic_hmac", secret=None, shop_domain=None)
    assert usual["hmac"]["signature_header"] == "X-Signature"
    assert (usual["hmac"]["algorithm"], usual["hmac"]["encoding"]) == ("sha256", "hex")
    channel = await gateway.connect(
        organization_id, provider="generic_hmac", secret=None, shop_domain=None, hmac={**ACME, "prefix": ""}
    )
    path, body = f"/channels/{channel['id']}", order_body()
    headers = acme_headers(channel["secret"], body)
    async with running_gateway(await gateway_settings(sandbox), role="api") as other:
        for process in (gateway, other):
            assert (await process.deliver(channel, body, headers)).status_code == 401
        changed = await gateway.http.patch(path, json={"hmac": {"prefix": "v1="}, "name": "Acme"}, headers=owner)
        assert changed.status_code == 200, changed.text
        assert (changed.json()["hmac"], changed.json()["name"]) == (ACME, "Acme")
        answer = await gateway.deliver(channel, body, headers)
        assert answer.status_code == 200, answer.text
        message = await received.having(answer.json()["id"])
        assert message.headers["rappit-provider"] == "generic_hmac"
        assert message.headers["rappit-dedupe-key"] == "generic:id:d-1"

        # Asks anew when a signature does not fit, once what it knows is a second old.
        async def fits():
            return (await other.deliver(channel, body, headers)).status_code == 200

        await eventually(fits, within_s=5)
    assert (await gateway.http.get(path, headers=owner)).json()["hmac"] == ACME


async def test_changes_keep_what_they_do_not_name(gateway):
    organization_id = new_id()
    owner = gateway.owner(organization_id)
    channel = await gateway.connect(organization_id, quota_per_minute=77)
    path = f"/channels/{channel['id']}"
    named = (await gateway.http.patch(path, json={"name": " Other "}, headers=owner)).json()
    assert (named["name"], named["quota_per_minute"], named["hmac"]) == ("Other", 77, None)
    usual = (await gateway.http.patch(path, json={"quota_per_minute": None}, headers=owner)).json()
    assert (usual["name"], usual["quota_per_minute"]) == ("Other", 6_000)
    for change, code in (({"hmac": {"prefix": "x"}}, "invalid_hmac_options"), ({"provider": "x"}, "validation_error")):
        refused = await gateway.http.patch(path, json=change, headers=owner)
        assert (refused.status_code, refused.json()["code"]) == (422, code)
    viewer = gateway.owner(organization_id, Role.VIEWER)
    assert (await gateway.http.patch(path, json={"name": "X"}, headers=viewer)).status_code == 403
    await gateway.http.delete(path, headers=owner)
    gone = await gateway.http.patch(path, json={"name": "X"}, headers=owner)
    assert (gone.status_code, gone.json()["code"]) == (409, "channel_deactivated")


async def test_standard_channel_goes_over_from_a_secret_to_a_public_key_without_a_gap(gateway, received):
    organization_id = new_id()
    channel = await gateway.connect(organization_id, provider="standard_webhooks", secret=None, shop_domain=None)
    private = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    public = "whpk_" + base64.b64encode(private.public_key().public_bytes_raw()).decode()
    body, now_s = order_body(), int(time.time())
    signed = f"m-1.{now_s}.".encode() + body
    key = base64.b64decode(channel["secret"].removeprefix("whsec_"))
    old = "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    new = "v1a," + base64.b64encode(private.sign(signed)).decode()

    async def status(token):
        headers = {"webhook-id": "m-1", "webhook-timestamp": str(now_s), "webhook-signature": token}
        return (await gateway.deliver(channel, body, headers)).status_code

    assert (await status(old), await status(new)) == (200, 401)
    path = f"/channels/{channel['id']}/secrets"
    rotated = await gateway.http.post(path, json={"secret": public}, headers=gateway.owner(organization_id))
    assert (rotated.status_code, rotated.json()["secret"]) == (201, None)
    assert (await status(old), await status(new), await status("v1a,nonsense")) == (200, 200, 401)


async def test_rotations_are_bounded(gateway):
    organization_id = new_id()
    channel = await gateway.connect(organization_id, provider="woocommerce", shop_domain=None)
    path = f"/channels/{channel['id']}/secrets"
    statuses = [
        (await gateway.http.post(path, json={}, headers=gateway.owner(organization_id))).status_code for _ in range(5)
    ]
    assert statuses == [201, 201, 201, 201, 409]


async def test_secrets_are_shown_once_encrypted_at_rest_and_never_logged(gateway, sandbox, capsys):
    organization_id = new_id()
    woo = await gateway.connect(organization_id, provider="woocommerce", shop_domain=None, secret=None)
    shopify = await gateway.connect(organization_id)
    assert shopify["secret"] is None
    secrets = [woo["secret"], SHOPIFY_SECRET]
    body = order_body()
    await gateway.deliver(shopify, body)
    await gateway.deliver(shopify, body, shopify_headers("another-secret-0123456789", body))
    answers = [
        await gateway.http.get("/channels", headers=gateway.owner(organization_id)),
        await gateway.http.get(f"/channels/{woo['id']}", headers=gateway.owner(organization_id)),
    ]
    connection = await asyncpg.connect(sandbox.admin_url)
    try:
        rows = await connection.fetch("SELECT * FROM gateway.channel_secrets")
    finally:
        await connection.close()
    assert rows
    out = capsys.readouterr().out
    for secret in secrets:
        assert all(secret not in answer.text for answer in answers)
        assert all(secret.encode() not in row["ciphertext"] for row in rows)
        assert secret not in out
    assert json.loads(answers[0].text)["items"]


async def test_the_document_tells_what_a_webhook_is_answered(gateway):
    paths = (await gateway.http.get("/channels/openapi.json")).json()["paths"]
    webhook = paths["/webhooks/{channel_id}"]["post"]
    assert set(webhook["responses"]) == {"200", "401", "403", "404", "405", "408", "410", "413", "429", "503"}
    assert "bad_signature" in webhook["responses"]["401"]["description"]
    headers = {parameter["name"] for parameter in webhook["parameters"] if parameter["in"] == "header"}
    assert {"X-Shopify-Hmac-Sha256", "X-WC-Webhook-Signature", "webhook-signature"} <= headers
    assert set(webhook["requestBody"]["content"]) == {"application/json"}


async def test_its_asyncapi_document_names_the_event_it_publishes(gateway):
    document = (await gateway.http.get("/channels/ops/asyncapi.json")).json()
    addresses = {channel["address"] for channel in document["channels"].values()}
    assert "gateway.webhook-received.v1" in addresses
    assert "rappit-dedupe-key" in str(document["components"]["schemas"])
