"""Shared limits on a real Redis, with the clock in the test's hand."""

import asyncio
import socket
import time

import httpx
import pytest
import pytest_asyncio
from fastapi import APIRouter, Depends, FastAPI
from pydantic import SecretStr
from pyrate_limiter import AbstractClock
from rappit_common.clock import new_id
from rappit_common.leases import LeasedLimit
from rappit_common.limits import CAP_S, PAUSE_S, Decision, RateLimits, limit_source
from rappit_common.web.problems import install_problem_handlers
from redis.asyncio import Redis

pytestmark = pytest.mark.server


class HandClock(AbstractClock):
    """Milliseconds of the epoch, moved by hand."""

    def __init__(self):
        self.now_ms = time.time_ns() // 1_000_000

    def now(self):
        return self.now_ms


@pytest.fixture
def clock():
    return HandClock()


@pytest_asyncio.fixture
async def limits(servers, clock, monkeypatch):
    # What is counted is tested here, not how long a busy machine's Redis may take.
    monkeypatch.setattr("rappit_common.limits.CAP_S", 20.0)
    made = RateLimits(SecretStr(servers.redis_url), clock=clock)
    yield made
    await made.close()


@pytest.fixture
def closed_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.fixture
def silent_port():
    """A port that takes connections and never answers."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen(64)
        yield held.getsockname()[1]


async def hits(limits, count, *, key, name="test", per_minute=5):
    return [await limits.hit(name, key=key, per_minute=per_minute, fail_open=False) for _ in range(count)]


async def test_lets_the_limit_through_then_says_when_to_come_back(limits, clock):
    key = str(new_id())
    assert await hits(limits, 5, key=key) == [Decision(allowed=True)] * 5
    assert await hits(limits, 1, key=key) == [Decision(allowed=False, retry_after_s=12)]
    clock.now_ms += 11_000
    assert await hits(limits, 1, key=key) == [Decision(allowed=False, retry_after_s=1)]
    clock.now_ms += 1_000
    assert [x.allowed for x in await hits(limits, 2, key=key)] == [True, False]


async def test_keys_and_names_have_buckets_of_their_own(limits):
    key, other = str(new_id()), str(new_id())
    assert [x.allowed for x in await hits(limits, 6, key=key)] == [True] * 5 + [False]
    assert (await hits(limits, 1, key=other))[0].allowed
    assert (await hits(limits, 1, key=key, name="another"))[0].allowed


async def test_two_processes_share_a_bucket(servers, limits, clock):
    key = str(new_id())
    second = RateLimits(SecretStr(servers.redis_url), clock=clock)
    try:
        await hits(limits, 3, key=key)
        assert [x.allowed for x in await hits(second, 3, key=key)] == [True, True, False]
    finally:
        await second.close()


async def test_concurrent_hits_never_pass_the_limit(limits):
    key = str(new_id())
    decisions = await asyncio.gather(*(limits.hit("test", key=key, per_minute=20, fail_open=False) for _ in range(30)))
    assert sum(x.allowed for x in decisions) == 20
    assert all(x.counted for x in decisions)


async def test_leases_of_two_processes_together_never_pass_the_limit(servers, limits, clock):
    key, per_minute = str(new_id()), 3_000
    second = RateLimits(SecretStr(servers.redis_url), clock=clock)
    leases = [LeasedLimit(one, "leased", monotonic=time.monotonic) for one in (limits, second)]
    try:
        both = (leases[n % 2].hit(key, per_minute=per_minute) for n in range(per_minute + 500))
        decisions = await asyncio.gather(*both)
        assert all(x.counted for x in decisions)
        # What one still held when the other found nothing left is given up: at most a 600th.
        assert per_minute - 5 <= sum(x.allowed for x in decisions) <= per_minute
        refused = await leases[0].hit(key, per_minute=per_minute)
        assert (refused.allowed, refused.retry_after_s) == (False, 1)
    finally:
        await second.close()


async def test_several_requests_are_counted_together_or_not_at_all(limits):
    key = str(new_id())
    decisions = [
        await limits.hit("test", key=key, per_minute=5, fail_open=False, requests=requests) for requests in (3, 3, 2)
    ]
    assert decisions == [
        Decision(allowed=True),
        Decision(allowed=False, retry_after_s=12),
        Decision(allowed=True),
    ]


async def test_long_keys_are_kept_apart_and_short_in_redis(servers, limits):
    long = "x" * 5_000
    key, other = f"{long}{new_id()}", f"{long}{new_id()}"
    assert [x.allowed for x in await hits(limits, 6, key=key)] == [True] * 5 + [False]
    assert (await hits(limits, 1, key=other))[0].allowed
    async with Redis.from_url(servers.redis_url) as redis:
        assert max([len(x) async for x in redis.scan_iter("rappit:limit:test:*")]) < 200


async def test_buckets_expire_by_themselves_and_survive_a_script_flush(servers, limits):
    key = str(new_id())
    await hits(limits, 1, key=key)
    async with Redis.from_url(servers.redis_url) as redis:
        assert 0 < await redis.pttl(f"rappit:limit:test:{key}") <= 120_000
        await redis.script_flush()
    assert await hits(limits, 1, key=key) == [Decision(allowed=True)]


@pytest.mark.parametrize("fail_open", [True, False])
async def test_closed_port_is_decided_as_declared(closed_port, fail_open):
    limits = RateLimits(SecretStr(f"redis://127.0.0.1:{closed_port}/0"))
    try:
        decision = await limits.hit("test", key="a", per_minute=5, fail_open=fail_open)
        assert decision == Decision(allowed=fail_open, retry_after_s=0 if fail_open else 1, counted=False)
    finally:
        await limits.close()


async def test_a_hung_redis_costs_the_cap_once_then_nothing_until_the_pause_ends(silent_port):
    now_s = [100.0]
    limits = RateLimits(SecretStr(f"redis://127.0.0.1:{silent_port}/0"), monotonic=lambda: now_s[0])

    async def elapsed_s():
        started = time.perf_counter()
        decision = await limits.hit("test", key="a", per_minute=5, fail_open=True)
        assert (decision.allowed, decision.counted) == (True, False)
        return time.perf_counter() - started

    try:
        assert CAP_S * 0.9 < await elapsed_s() < CAP_S * 4
        assert await elapsed_s() < CAP_S / 2
        now_s[0] += PAUSE_S
        assert await elapsed_s() > CAP_S * 0.9
    finally:
        await limits.close()


async def test_counts_again_when_redis_is_back(servers, closed_port):
    """The same limits object, first on a port where nothing listens, then on one that leads to Redis."""
    now_s = [100.0]
    limits = RateLimits(SecretStr(servers.redis_url), monotonic=lambda: now_s[0])
    key = str(new_id())
    real = limits._redis.connection_pool.connection_kwargs.copy()
    try:
        limits._redis.connection_pool.connection_kwargs["port"] = closed_port
        assert not (await limits.hit("test", key=key, per_minute=5, fail_open=True)).counted
        limits._redis.connection_pool.connection_kwargs.update(real)
        # Connections the pool made meanwhile still know the closed port.
        await limits._redis.connection_pool.disconnect()
        limits._redis.connection_pool.reset()
        assert not (await limits.hit("test", key=key, per_minute=5, fail_open=True)).counted
        now_s[0] += PAUSE_S
        assert await limits.hit("test", key=key, per_minute=5, fail_open=True) == Decision(allowed=True)
        assert (await limits.hit("test", key=key, per_minute=5, fail_open=True)).counted
    finally:
        await limits.close()


def limited_app(limits, name, *, fail_open):
    app = FastAPI()
    install_problem_handlers(app)
    router = APIRouter(
        prefix="/x", dependencies=[Depends(limit_source(limits, name, per_minute=2, fail_open=fail_open))]
    )

    @router.get("/a")
    async def a():
        return "a"

    @router.get("/b")
    async def b():
        return "b"

    app.include_router(router)
    return app


def client(app, host):
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, client=(host, 1)), base_url="http://test")


async def test_dependency_answers_429_with_retry_after_per_source(limits):
    app = limited_app(limits, f"test-{new_id()}", fail_open=True)
    async with client(app, "10.0.0.1") as first, client(app, "10.0.0.2") as second:
        assert [(await first.get(path)).status_code for path in ("/x/a", "/x/b")] == [200, 200]
        refused = await first.get("/x/a")
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
        assert refused.headers["retry-after"] == "30"
        assert refused.json()["detail"].endswith("Try again in 30 s.")
        assert (await second.get("/x/a")).status_code == 200


async def test_addresses_of_one_ipv6_site_share_a_bucket(limits):
    app = limited_app(limits, f"test-{new_id()}", fail_open=True)
    async with client(app, "2001:db8:1:2::a") as first, client(app, "2001:db8:1:2::b") as second:
        assert [(await x.get("/x/a")).status_code for x in (first, second, first)] == [200, 200, 429]


async def test_dependency_answers_503_when_it_must_count_and_cannot(closed_port):
    limits = RateLimits(SecretStr(f"redis://127.0.0.1:{closed_port}/0"))
    try:
        async with client(limited_app(limits, "test", fail_open=False), "10.0.0.1") as http:
            refused = await http.get("/x/a")
        assert (refused.status_code, refused.json()["code"]) == (503, "limiter_away")
        assert refused.headers["retry-after"] == "1"
    finally:
        await limits.close()
