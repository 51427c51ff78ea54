"""Breakers over a real Redis: shared by replicas, and of use while Redis is away."""

import asyncio
import socket
import time

import pytest
from rappit_common.clock import new_id
from rappit_common.testing.waiting import eventually
from rappit_shipping.carriers.breaker import BreakerPolicy, Breakers, CarrierUnavailableError
from rappit_shipping.domain.carrier import NotSent, Refused, UnshippableError
from redis.asyncio import Redis

pytestmark = pytest.mark.server


def policy(**changes):
    return BreakerPolicy(**{"threshold": 5, "open_s": 0.3, "probe_s": 5, "namespace": f"test:{new_id()}"} | changes)


@pytest.fixture
async def redis(servers):
    client = Redis.from_url(servers.redis_url, socket_timeout=1)
    yield client
    await client.aclose()


async def fail(breakers, times=1, error=None):
    for _ in range(times):
        with pytest.raises(Exception) as raised:  # noqa: PT011 - whichever was given comes back
            async with breakers.call("fedex", "FedEx"):
                raise error or NotSent("away")
        if isinstance(raised.value, CarrierUnavailableError):
            return raised.value
    return None


async def test_replicas_share_a_breaker(redis):
    shared = policy()
    one, other = Breakers(redis, shared), Breakers(redis, shared)
    await fail(one, 3)
    await fail(other, 2)
    for replica in (one, other):
        view = await replica.view("fedex")
        assert (view.state, view.failures, view.is_shared) == ("opened", 5, True)
        with pytest.raises(CarrierUnavailableError) as refused:
            await replica.check("fedex", "FedEx")
        assert refused.value.fields["retry_after_s"] == 1
        assert refused.value.__cause__ is None
    assert (await other.view("dhl")).state == "closed"


async def test_five_failures_at_once_open_it_too(redis):
    breakers = Breakers(redis, policy())
    await asyncio.gather(*(fail(breakers) for _ in range(5)))
    assert (await breakers.view("fedex")).state == "opened"


async def test_refusal_counts_as_an_answer_and_our_own_as_nothing(redis):
    breakers = Breakers(redis, policy())
    await fail(breakers, 4)
    await fail(breakers, 1, UnshippableError("Not described."))
    assert (await breakers.view("fedex")).failures == 4
    await fail(breakers, 1, Refused("No.", status=400))
    assert (await breakers.view("fedex")).failures == 0


async def test_cancelled_call_counts_as_nothing_and_gives_the_probe_back(redis):
    breakers = Breakers(redis, policy())
    await fail(breakers, 5)

    async def half_open():
        return (await breakers.view("fedex")).state == "half-opened"

    await eventually(half_open)
    entered = asyncio.Event()

    async def hang():
        async with breakers.call("fedex", "FedEx"):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hang())
    await entered.wait()
    with pytest.raises(CarrierUnavailableError):
        async with breakers.call("fedex", "FedEx"):
            pytest.fail("a second call tried the half-open breaker")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    async with breakers.call("fedex", "FedEx"):
        pass
    assert (await breakers.view("fedex")).state == "closed"


async def test_fifty_calls_at_a_half_open_breaker_send_one(redis):
    breakers = Breakers(redis, policy())
    await fail(breakers, 5)

    async def half_open():
        return (await breakers.view("fedex")).state == "half-opened"

    await eventually(half_open)
    sent = 0

    async def call():
        nonlocal sent
        try:
            async with breakers.call("fedex", "FedEx"):
                sent += 1
                await asyncio.sleep(0.2)
        except CarrierUnavailableError:
            return

    await asyncio.gather(*(call() for _ in range(50)))
    assert sent == 1


async def test_refusals_do_not_pile_up_tracebacks(redis):
    breakers = Breakers(redis, policy(open_s=30))
    await fail(breakers, 5)
    refusals = [await fail(breakers) for _ in range(200)]
    last, depth = refusals[-1].__traceback__, 0
    while last is not None:
        last, depth = last.tb_next, depth + 1
    assert depth < 10


async def test_redis_away_each_process_counts_by_itself():
    away = Redis.from_url("redis://127.0.0.1:9/0", socket_timeout=0.1, socket_connect_timeout=0.1)
    breakers = Breakers(away, policy())
    await fail(breakers, 5)
    view = await breakers.view("fedex")
    assert (view.state, view.is_shared) == ("opened", False)
    assert await fail(breakers) is not None

    async def half_open():
        return (await breakers.view("fedex")).state == "half-opened"

    await eventually(half_open)
    async with breakers.call("fedex", "FedEx"):
        with pytest.raises(CarrierUnavailableError):
            async with breakers.call("fedex", "FedEx"):
                pytest.fail("a second call tried the half-open breaker")
    assert (await breakers.view("fedex")).state == "closed"
    await away.aclose()


async def test_hung_redis_costs_its_timeout_once():
    # Connections are taken by the kernel and never answered.
    hung = socket.create_server(("127.0.0.1", 0))
    port = hung.getsockname()[1]
    redis = Redis.from_url(f"redis://127.0.0.1:{port}/0", socket_timeout=0.2, socket_connect_timeout=0.2)
    breakers = Breakers(redis, policy())
    started = time.perf_counter()
    await fail(breakers, 5)
    assert time.perf_counter() - started < 1
    started = time.perf_counter()
    assert await fail(breakers) is not None
    assert time.perf_counter() - started < 0.05
    await redis.aclose()
    hung.close()
