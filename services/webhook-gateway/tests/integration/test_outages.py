"""A 2xx is a promise: with the broker away it is kept by the spool, with both away it is not given."""

import os

import asyncpg
import pytest
import pytest_asyncio
from gateway_testkit import bound_queue, gateway_settings, linked, order_body, running_gateway
from rappit_common.testing.servers import Sandbox
from rappit_common.testing.waiting import eventually
from sqlalchemy.engine import make_url

pytestmark = pytest.mark.server


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sandbox(servers):
    """Apart from the other tests', whose gateway would relay what is spooled here."""
    made = Sandbox(servers, f"test_outages_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}")
    await made.create()
    yield made
    await made.drop()


async def outbox_rows(sandbox):
    url = make_url(sandbox.admin_url).render_as_string(hide_password=False)
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetch("SELECT message_id, sent_at FROM gateway.outbox")
    finally:
        await connection.close()


async def is_unsent(sandbox, message_id):
    return [row["sent_at"] is None for row in await outbox_rows(sandbox) if row["message_id"] == message_id] == [True]


async def test_broker_cut_under_way_spools_and_the_relay_drains_the_same_message(sandbox, received):
    link, url = await linked(sandbox.rabbitmq_url)
    async with running_gateway(await gateway_settings(sandbox, rabbitmq_url=url)) as gateway:
        channel = await gateway.connect()
        before = await gateway.deliver(channel, order_body())
        assert before.status_code == 200
        assert not await is_unsent(sandbox, before.json()["id"])
        await link.cut()
        bodies = {}
        for _ in range(5):
            body = order_body()
            answer = await gateway.deliver(channel, body)
            assert answer.status_code == 200, answer.text
            bodies[answer.json()["id"]] = body
        assert (await gateway.http.get("/health/ready")).status_code == 200
        for message_id in bodies:
            assert await is_unsent(sandbox, message_id)
            assert received.count(message_id) == 0
        await link.mend()
        for message_id, body in bodies.items():
            message = await received.having(message_id)
            assert message.body == body
            assert message.headers["rappit-channel-id"] == channel["id"]
            assert message.headers["traceparent"]
            assert received.count(message_id) == 1

        async def fast_again():
            answer = await gateway.deliver(channel, order_body())
            return answer.json()["id"] not in {row["message_id"] for row in await outbox_rows(sandbox)}

        await eventually(fast_again)
    await link.cut()


async def test_broker_that_was_never_there(sandbox):
    settings = await gateway_settings(sandbox, rabbitmq_url="amqp://guest:guest@127.0.0.1:1/")
    async with running_gateway(settings, until_ready=False) as gateway:
        channel = await gateway.connect()
        answer = await gateway.deliver(channel, order_body())
        assert answer.status_code == 200
        assert await is_unsent(sandbox, answer.json()["id"])
        assert (await gateway.http.get("/health/ready")).status_code == 200


async def test_deaf_broker_delays_one_webhook_and_not_the_next(sandbox):
    link, url = await linked(sandbox.rabbitmq_url)
    settings = await gateway_settings(sandbox, rabbitmq_url=url, accept_publish_timeout_s=0.3, broker_pause_s=30)
    async with running_gateway(settings, role="api") as gateway, bound_queue(sandbox.rabbitmq_url):
        channel = await gateway.connect()
        assert (await gateway.deliver(channel, order_body())).status_code == 200
        link.go_deaf()
        answers = [await gateway.deliver(channel, order_body()), await gateway.deliver(channel, order_body())]
        assert [answer.status_code for answer in answers] == [200, 200]
        for answer in answers:
            assert await is_unsent(sandbox, answer.json()["id"])
        assert answers[0].elapsed.total_seconds() >= 0.3 > answers[1].elapsed.total_seconds()
        link.hear_again()
    await link.cut()


async def test_webhook_that_no_queue_takes_yet_waits_in_the_spool(sandbox):
    async with running_gateway(await gateway_settings(sandbox)) as gateway:
        channel = await gateway.connect()
        body = order_body()
        answer = await gateway.deliver(channel, body)
        assert answer.status_code == 200
        assert await is_unsent(sandbox, answer.json()["id"])
        async with bound_queue(sandbox.rabbitmq_url) as queue:
            assert (await queue.having(answer.json()["id"])).body == body


async def test_postgres_away_costs_nothing_while_the_broker_is_there(sandbox, received):
    link, url = await linked(sandbox.urls("gateway").runtime_url)
    settings = await gateway_settings(sandbox, channel_cache_ttl_s=0.05)
    settings = settings.model_copy(update={"database_url": type(settings.database_url)(url)})
    async with running_gateway(settings) as gateway:
        channel, unseen = await gateway.connect(), await gateway.connect()
        assert (await gateway.deliver(channel, order_body())).status_code == 200
        await link.cut()
        for _ in range(3):
            answer = await gateway.deliver(channel, order_body())
            assert answer.status_code == 200, answer.text
            await received.having(answer.json()["id"])
        assert (await gateway.http.get("/health/ready")).status_code == 200
        answer = await gateway.deliver(unseen, order_body())
        assert (answer.status_code, answer.json()["code"]) == (503, "channels_away")
        assert answer.headers["retry-after"]
        await link.mend()

        async def known():
            return (await gateway.deliver(unseen, order_body())).status_code == 200

        await eventually(known)
    await link.cut()


async def test_both_away_is_a_503_and_both_back_is_a_200(sandbox, received):
    broker, broker_url = await linked(sandbox.rabbitmq_url)
    postgres, postgres_url = await linked(sandbox.urls("gateway").runtime_url)
    settings = await gateway_settings(sandbox, rabbitmq_url=broker_url)
    settings = settings.model_copy(update={"database_url": type(settings.database_url)(postgres_url)})
    async with running_gateway(settings) as gateway:
        channel = await gateway.connect()
        assert (await gateway.deliver(channel, order_body())).status_code == 200
        await broker.cut()
        await postgres.cut()
        for _ in range(3):
            answer = await gateway.deliver(channel, order_body())
            assert (answer.status_code, answer.json()["code"]) == (503, "not_accepted")
            assert int(answer.headers["retry-after"]) >= 1
        assert (await gateway.http.get("/health/ready")).status_code == 503
        assert (await gateway.http.get("/health/live")).status_code == 200
        await postgres.mend()
        # The spool's dead connections are found out and replaced within one request.
        spooled = await gateway.deliver(channel, order_body())
        assert spooled.status_code == 200, spooled.text
        await broker.mend()
        await received.having(spooled.json()["id"])
    await broker.cut()
    await postgres.cut()
