"""Every webhook that reached a channel is in its merchant's log with what became of it, whatever was away meanwhile."""

import asyncio

import asyncpg
import pytest
from gateway_testkit import (
    SHOPIFY_SECRET,
    Link,
    bound_queue,
    gateway_settings,
    merchant_of,
    order_body,
    running_gateway,
    shopify_headers,
)
from rappit_common.clock import new_id, utc_now
from rappit_common.testing.waiting import eventually
from rappit_common.web.auth import Role
from rappit_gateway.domain.signatures import BadSignatureError
from sqlalchemy.engine import make_url

pytestmark = pytest.mark.server


async def test_accepted_webhook_is_listed_with_its_facts_and_shown_with_its_body(gateway, received):
    merchant = await merchant_of(gateway)
    body = order_body()
    headers = shopify_headers(SHOPIFY_SECRET, body, x_shopify_webhook_id="w-77")
    answer = await gateway.deliver(merchant.channel, body, headers)
    shown = await merchant.shown(answer.json()["id"], status="accepted")
    assert (shown["topic"], shown["delivery_id"], shown["dedupe_key"]) == ("orders/create", "w-77", "shopify:w-77")
    assert (shown["channel_id"], shown["provider"]) == (merchant.channel["id"], "shopify")
    assert (shown["body"], shown["body_encoding"], shown["body_bytes"]) == (body.decode(), "utf-8", len(body))
    assert shown["headers"]["rappit-dedupe-key"] == "shopify:w-77"
    assert shown["trace_id"] == answer.headers["x-trace-id"]
    assert not shown["spooled"]
    (listed,) = await merchant.listed()
    assert listed["id"] == answer.json()["id"]
    assert "body" not in listed


async def test_body_that_is_no_text_is_shown_in_base64(gateway, received):
    merchant = await merchant_of(gateway)
    body = b"\xff\x00"
    answer = await gateway.deliver(merchant.channel, body)
    shown = await merchant.shown(answer.json()["id"])
    assert (shown["body"], shown["body_encoding"]) == ("/wA=", "base64")


async def test_outcome_is_noted_with_its_order_or_its_reason(gateway, received):
    merchant = await merchant_of(gateway)
    applied, dead = await merchant.deliver(), await merchant.deliver()
    for one in (applied, dead):
        await merchant.shown(one, status="accepted")
    order_id = str(new_id())
    await merchant.settle(applied, "applied", order_id=order_id, external_order_id="5551")
    await merchant.settle(dead, "dead_lettered", error_type="unreadable_body", error_message="Not JSON.")
    shown = await merchant.shown(applied, status="applied", order_id=order_id, external_order_id="5551")
    assert shown["settled_at"]
    assert shown["body"]
    await merchant.shown(dead, status="dead_lettered", cause="unreadable_body", detail="Not JSON.")
    # An operator requeued it, and it went well; what is told of its death once more, late, changes nothing.
    await merchant.settle(dead, "applied", order_id=order_id)
    await merchant.shown(dead, status="applied", cause=None, detail=None)
    await merchant.settle(dead, "dead_lettered", error_type="late")
    marker = await merchant.deliver()
    await merchant.settle(marker, "ignored", note="Nothing asked.")
    await merchant.shown(marker, status="ignored", detail="Nothing asked.")
    assert (await merchant.shown(dead))["status"] == "applied"


async def test_repeated_outcomes_at_once_are_one(gateway, received):
    merchant = await merchant_of(gateway)
    ids = [await merchant.deliver() for _ in range(5)]
    await asyncio.gather(*(merchant.settle(one, "superseded") for one in ids for _ in range(4)))
    for one in ids:
        await merchant.shown(one, status="superseded")
    assert len(await merchant.listed()) == 5


async def test_outcome_that_comes_first_is_kept_and_completed(sandbox):
    settings = await gateway_settings(sandbox)
    async with running_gateway(settings) as gateway, bound_queue(sandbox.rabbitmq_url):
        merchant = await merchant_of(gateway)
        log = gateway.endpoint._deliveries
        allowed, write = asyncio.Event(), log._write

        async def write_when_allowed(rows):
            await allowed.wait()
            await write(rows)

        log._write = write_when_allowed
        message_id = await merchant.deliver()
        await merchant.settle(message_id, "applied", external_order_id="1")
        first = await merchant.shown(message_id, status="applied")
        assert (first["body"], first["dedupe_key"]) == (None, None)
        refused = await merchant.ask("POST", f"/{message_id}/replay")
        assert (refused.status_code, refused.json()["code"]) == (409, "delivery_body_gone")
        allowed.set()

        async def completed():
            return (await merchant.shown(message_id))["body"]

        await eventually(completed)
        whole = await merchant.shown(message_id, status="applied", external_order_id="1")
        assert whole["dedupe_key"].startswith("shopify:")


async def test_spooled_webhook_is_marked(sandbox):
    settings = await gateway_settings(sandbox, rabbitmq_url="amqp://guest:guest@127.0.0.1:1/")
    async with running_gateway(settings, until_ready=False) as gateway:
        merchant = await merchant_of(gateway)
        message_id = await merchant.deliver()
        shown = await merchant.shown(message_id, status="accepted", spooled=True)
        assert shown["body"]
        ready = await gateway.http.get("/health/ready")
        assert ready.status_code == 200, ready.text


async def test_log_catches_up_when_postgres_is_back(sandbox, received):
    url = make_url(sandbox.urls("gateway").runtime_url)
    link = Link(url.host or "", url.port or 0)
    await link.mend()
    settings = await gateway_settings(sandbox)
    cut = url.set(host="127.0.0.1", port=link.port).render_as_string(hide_password=False)
    settings = settings.model_copy(update={"database_url": type(settings.database_url)(cut)})
    async with running_gateway(settings) as gateway:
        merchant = await merchant_of(gateway)
        await merchant.shown(await merchant.deliver())
        await link.cut()
        ids = [await merchant.deliver() for _ in range(5)]
        assert (await gateway.http.get("/health/ready")).status_code == 200
        await link.mend()
        for message_id in ids:
            assert (await merchant.shown(message_id))["body"]
    await link.cut()


async def test_stopping_writes_what_was_not_yet(sandbox, received):
    async with running_gateway(await gateway_settings(sandbox)) as gateway:
        merchant = await merchant_of(gateway)
        ids = [await merchant.deliver() for _ in range(20)]
    async with running_gateway(await gateway_settings(sandbox)) as other:
        merchant.gateway = other
        assert [row["id"] for row in await merchant.listed()] == ids[::-1]


async def test_rejected_delivery_tells_its_cause_and_source_and_a_flood_makes_one_row(gateway):
    merchant = await merchant_of(gateway)
    for _ in range(5):
        assert (await merchant.forge()).status_code == 401
    rows = await eventually(lambda: merchant.listed(status="rejected"))
    assert len(rows) <= 2
    assert (rows[-1]["cause"], rows[-1]["body_bytes"]) == (BadSignatureError.code, 2)
    assert rows[-1]["client"].startswith("10.")
    assert rows[-1]["detail"]
    shown = await merchant.shown(rows[-1]["id"])
    assert (shown["body"], shown["headers"]) == (None, None)


async def test_each_refusal_of_a_known_channel_has_its_own_cause(sandbox):
    async with running_gateway(await gateway_settings(sandbox, webhook_body_limit_bytes=2_048)) as gateway:
        for cause in ("missing_signature", "wrong_source", "body_too_large", "channel_deactivated"):
            merchant = await merchant_of(gateway)
            body = b"x" * (4_096 if cause == "body_too_large" else 10)
            headers = shopify_headers(SHOPIFY_SECRET, body)
            if cause == "missing_signature":
                del headers["x-shopify-hmac-sha256"]
            if cause == "wrong_source":
                headers["x-shopify-shop-domain"] = "other.myshopify.com"
            if cause == "channel_deactivated":
                owner = gateway.owner(merchant.organization_id)
                await gateway.http.delete(f"/channels/{merchant.channel['id']}", headers=owner)
            answer = await gateway.deliver(merchant.channel, body, headers)
            assert answer.json()["code"] == cause
            (row,) = await eventually(lambda merchant=merchant: merchant.listed(status="rejected"))
            assert (row["cause"], row["body_bytes"]) == (cause, len(body))


async def test_unknown_channel_has_no_tenant_and_no_row(sandbox, gateway):
    merchant = await merchant_of(gateway)
    await gateway.http.post(f"/webhooks/{new_id()}", content=b"{}")
    await merchant.forge()
    await eventually(lambda: merchant.listed(status="rejected"))
    connection = await asyncpg.connect(sandbox.admin_url)
    try:
        strangers = await connection.fetchval(
            "SELECT count(*) FROM gateway.webhook_deliveries WHERE channel_id NOT IN (SELECT id FROM gateway.channels)"
        )
    finally:
        await connection.close()
    assert strangers == 0


async def test_filters_narrow_and_pages_follow(gateway, received):
    merchant = await merchant_of(gateway)
    began = utc_now()
    ids = [await merchant.deliver() for _ in range(7)]
    for one in ids:
        await merchant.shown(one)
    await merchant.settle(ids[0], "applied", external_order_id="A")
    await merchant.settle(ids[1], "superseded", external_order_id="A")
    await merchant.settle(ids[2], "dead_lettered", error_type="invalid_delivery", error_message="No.")
    for one, status in zip(ids, ("applied", "superseded", "dead_lettered"), strict=False):
        await merchant.shown(one, status=status)

    async def found(**parameters):
        return [row["id"] for row in await merchant.listed(**parameters)]

    assert await found() == ids[::-1]
    assert await found(external_order_id="A") == [ids[1], ids[0]]
    assert await found(external_order_id="A", status="superseded") == [ids[1]]
    assert await found(status=["superseded", "dead_lettered"]) == [ids[2], ids[1]]
    assert await found(cause="invalid_delivery") == [ids[2]]
    assert await found(topic="orders/create") == ids[::-1]
    assert await found(topic="orders/paid") == []
    assert await found(channel_id=merchant.channel["id"], status="applied") == [ids[0]]
    assert await found(channel_id=str(new_id())) == []
    assert await found(since=began.isoformat()) == ids[::-1]
    assert await found(before=began.isoformat()) == []
    middle = (await merchant.shown(ids[3]))["received_at"]
    assert await found(since=middle) == ids[3:][::-1]
    assert await found(before=middle) == ids[:3][::-1]
    paged, cursor = [], None
    while True:
        answer = await merchant.ask("GET", params={"limit": 3, **({"cursor": cursor} if cursor else {})})
        paged.append([row["id"] for row in answer.json()["items"]])
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            break
    assert paged == [ids[::-1][:3], ids[::-1][3:6], ids[::-1][6:]]


async def test_nobody_sees_or_runs_anothers_deliveries(gateway, received):
    merchant, stranger = await merchant_of(gateway), await merchant_of(gateway)
    message_id = await merchant.deliver()
    await merchant.shown(message_id)
    assert await stranger.listed() == []
    assert await stranger.listed(channel_id=merchant.channel["id"]) == []
    for method, path in (("GET", f"/{message_id}"), ("POST", f"/{message_id}/replay")):
        answer = await stranger.ask(method, path)
        assert (answer.status_code, answer.json()["code"]) == (404, "delivery_not_found")
    asked = {"filter": {"channel_id": merchant.channel["id"]}}
    assert (await stranger.ask("POST", "/replays", json=asked)).json()["matched"] == 0
    # Its own organization's word on another's delivery makes that neither visible nor different.
    await stranger.settle(message_id, "superseded")
    marker = await merchant.deliver()
    await merchant.settle(marker, "applied")
    await merchant.shown(marker, status="applied")
    assert (await merchant.shown(message_id))["status"] == "accepted"


async def test_viewer_reads_and_does_not_act(gateway, received):
    merchant = await merchant_of(gateway)
    message_id = await merchant.deliver()
    await merchant.shown(message_id)
    for path, body in ((f"/{message_id}/replay", None), ("/replays", {"filter": {"topic": "orders/create"}})):
        answer = await merchant.ask("POST", path, role=Role.VIEWER, json=body)
        assert (answer.status_code, answer.json()["code"]) == (403, "missing_role")


async def test_unreadable_outcome_is_a_dead_letter_of_the_gateways(gateway):
    merchant = await merchant_of(gateway)
    await merchant.settle("no uuid", "applied")

    async def dead():
        answer = await gateway.http.get("/channels/ops/dead-letters", headers=gateway.operator())
        rows = answer.json()["items"]
        return [row for row in rows if "message_id" in row["error_message"]]

    (letter, *_) = await eventually(dead)
    assert letter["queue"] == "webhook-gateway.note-outcome"


async def test_processes_apart_do_their_parts_and_the_workers_readiness_is_its_own(sandbox, received):
    settings = await gateway_settings(sandbox)
    gone = await gateway_settings(sandbox, rabbitmq_url="amqp://guest:guest@127.0.0.1:1/")
    async with (
        running_gateway(settings, role="api") as api,
        running_gateway(settings, role="worker", until_ready=False) as worker,
        running_gateway(gone, role="worker", until_ready=False) as lonely,
    ):
        merchant = await merchant_of(api)
        message_id = await merchant.deliver()
        await merchant.shown(message_id, status="accepted")
        await merchant.settle(message_id, "applied")
        await merchant.shown(message_id, status="applied")

        async def ready():
            return (await worker.http.get("/health/ready")).status_code == 200

        await eventually(ready)
        answer = await lonely.http.get("/health/ready")
        assert answer.status_code == 503
        assert answer.json()["checks"]["consumers"] != "ok"
