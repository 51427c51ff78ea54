"""Whatever hangs behind the gateway, a webhook is answered in time: Shopify waits for five seconds in all."""

import asyncio
import itertools
import os
import socket
import time

import pytest
import pytest_asyncio
from gateway_testkit import bound_queue, gateway_settings, linked, order_body, running_gateway, shopify_headers
from pydantic import SecretStr
from rappit_common.clock import new_id
from rappit_common.testing.servers import Sandbox
from rappit_common.testing.waiting import eventually

pytestmark = pytest.mark.server

ANSWERED_WITHIN_S = 4.5
STORES = ("postgres", "broker", "redis")
SOME = [chosen for count in (1, 2, 3) for chosen in itertools.combinations(STORES, count)]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sandbox(servers):
    """Apart from the other tests', whose gateway would relay what is spooled here."""
    made = Sandbox(servers, f"test_answer_time_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}")
    await made.create()
    yield made
    await made.drop()


async def settings_over(sandbox, urls, **values):
    """The gateway's own settings: only how long it knows a channel is cut short, so that each webhook looks it up."""
    settings = await gateway_settings(sandbox, channel_cache_ttl_s=0.05, **values)
    changes = {"rabbitmq_url": urls["broker"], "database_url": urls["postgres"], "redis_url": urls["redis"]}
    return settings.model_copy(update={name: SecretStr(url) for name, url in changes.items()})


async def timed(answering):
    started = time.monotonic()
    answer = await answering
    took_s = time.monotonic() - started
    assert took_s < ANSWERED_WITHIN_S, f"answered after {took_s:.1f} s with {answer.status_code}"
    return answer


@pytest.mark.parametrize("deaf", SOME, ids="+".join)
async def test_known_channel_is_answered_in_time_whichever_stores_hang(sandbox, servers, deaf):
    real = {
        "postgres": sandbox.urls("gateway").runtime_url,
        "broker": sandbox.rabbitmq_url,
        "redis": servers.redis_url,
    }
    links = {name: await linked(url) for name, url in real.items()}
    settings = await settings_over(sandbox, {name: url for name, (_, url) in links.items()})
    async with running_gateway(settings, role="api") as gateway, bound_queue(sandbox.rabbitmq_url):
        channel = await gateway.connect()
        assert (await gateway.deliver(channel, order_body())).status_code == 200
        for name in deaf:
            links[name][0].go_deaf()
        expected = 503 if {"postgres", "broker"} <= set(deaf) else 200
        forged = shopify_headers("another-secret-0123456789", b"{}")
        for _ in range(2):
            answers = await asyncio.gather(
                *(timed(gateway.deliver(channel, order_body())) for _ in range(5)),
                timed(gateway.deliver(channel, b"{}", forged)),
                timed(gateway.http.post(f"/webhooks/{new_id()}", content=b"{}")),
            )
            assert [answer.status_code for answer in answers[:5]] == [expected] * 5
            assert answers[5].status_code == 401
            assert answers[6].status_code in {404, 503}
            assert all(answer.headers.get("retry-after") for answer in answers if answer.status_code == 503)
        for link, _ in links.values():
            link.hear_again()

        async def accepted():
            return (await gateway.deliver(channel, order_body())).status_code == 200

        await eventually(accepted, within_s=30)
    for link, _ in links.values():
        await link.cut()


async def test_unknown_channel_is_answered_in_time_when_everything_always_hung(sandbox):
    """A listener that takes connections and never answers stands for each of the three."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen(256)
        address = f"127.0.0.1:{held.getsockname()[1]}"
        urls = {
            "postgres": f"postgresql://role:password@{address}/rappit",
            "broker": f"amqp://guest:guest@{address}/",
            "redis": f"redis://{address}/0",
        }
        async with running_gateway(await settings_over(sandbox, urls), role="api", until_ready=False) as gateway:
            body = order_body()
            for _ in range(2):
                posts = [
                    timed(gateway.http.post(f"/webhooks/{new_id()}", content=body, headers=shopify_headers("x", body)))
                    for _ in range(30)
                ]
                for answer in await asyncio.gather(*posts):
                    assert (answer.status_code, answer.json()["code"]) == (503, "channels_away")
                    assert int(answer.headers["retry-after"]) >= 1
