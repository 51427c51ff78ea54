"""Leases of a shared limit: few round trips, and never one request more than was granted."""

import asyncio

import pytest
from rappit_common.leases import LEASE_S, REFUSAL_S, LeasedLimit
from rappit_common.limits import Decision

PER_MINUTE = 6_000
LARGEST = 10


class Shared:
    """The shared limit of a test: grants what is left, and remembers what it was asked for."""

    def __init__(self, left=10**9):
        self.left = left
        self.asked = []
        self.is_away = False
        self.gate = None

    async def hit(self, name, *, key, per_minute, fail_open, requests):  # noqa: ARG002 - the limiter's
        assert (name, fail_open) == ("test", True)
        self.asked.append((key, requests))
        if self.gate is not None:
            await self.gate.wait()
        if self.is_away:
            return Decision(allowed=True, counted=False)
        if requests > self.left:
            return Decision(allowed=False, retry_after_s=7)
        self.left -= requests
        return Decision(allowed=True)

    @staticmethod
    def undecided(_name, *, fail_open):
        return Decision(allowed=fail_open, counted=False)

    @property
    def sizes(self):
        return [size for _, size in self.asked]


@pytest.fixture
def shared():
    return Shared()


@pytest.fixture
def now_s():
    return [100.0]


@pytest.fixture
def limit(shared, now_s):
    return LeasedLimit(shared, "test", monotonic=lambda: now_s[0])


async def hits(limit, count, key="a", per_minute=PER_MINUTE):
    return [(await limit.hit(key, per_minute=per_minute)).allowed for _ in range(count)]


async def test_a_busy_key_takes_more_at_a_time_up_to_a_600th_of_its_quota(limit, shared):
    assert all(await hits(limit, 100))
    assert shared.sizes[:5] == [1, 2, 4, 8, LARGEST]
    assert max(shared.sizes) == LARGEST
    assert len(shared.asked) == 13


async def test_a_quiet_key_is_counted_exactly(limit, shared, now_s):
    for _ in range(10):
        assert await hits(limit, 1) == [True]
        now_s[0] += LEASE_S
    assert shared.sizes == [1] * 10


async def test_what_is_not_spent_within_a_second_is_given_up(limit, shared, now_s):
    await hits(limit, 20)
    now_s[0] += LEASE_S
    before = len(shared.asked)
    await hits(limit, 1)
    assert shared.sizes[before:] == [1]


async def test_small_quotas_are_leased_one_by_one(limit, shared):
    await hits(limit, 20, per_minute=60)
    assert shared.sizes == [1] * 20


@pytest.mark.parametrize("granted", [1, 5, 17, 100])
async def test_exactly_what_was_granted_is_let_through(limit, shared, granted):
    shared.left = granted
    assert sum(await hits(limit, granted + 50)) == granted
    assert shared.left == 0


async def test_two_processes_together_pass_no_more_than_the_quota(limit, shared, now_s):
    shared.left = 1_000
    other = LeasedLimit(shared, "test", monotonic=lambda: now_s[0])
    passed = 0
    for _ in range(800):
        passed += sum(await hits(limit, 1)) + sum(await hits(other, 1))
        now_s[0] += 0.01
    assert 980 <= passed <= 1_000


async def test_refusal_says_when_and_is_believed_for_a_moment(limit, shared, now_s):
    shared.left = 0
    refused = Decision(allowed=False, retry_after_s=7)
    assert [await limit.hit("a", per_minute=PER_MINUTE) for _ in range(5)] == [refused] * 5
    assert len(shared.asked) == 1
    shared.left = 1
    now_s[0] += REFUSAL_S
    assert await hits(limit, 2) == [True, False]


async def test_keys_and_quotas_have_leases_of_their_own(limit, shared):
    await hits(limit, 2, key="a")
    await hits(limit, 1, key="b")
    await hits(limit, 1, key="a", per_minute=60)
    assert shared.asked == [("a", 1), ("a", 2), ("b", 1), ("a", 1)]


async def test_many_at_once_ask_for_each_lease_once(limit, shared):
    shared.left, shared.gate = 30, asyncio.Event()
    waiting = [asyncio.create_task(limit.hit("a", per_minute=PER_MINUTE)) for _ in range(50)]
    await asyncio.sleep(0)
    assert len(shared.asked) == 1
    shared.gate.set()
    decisions = await asyncio.gather(*waiting)
    assert sum(decision.allowed for decision in decisions) == 30


async def test_open_and_uncounted_while_redis_is_away_then_counted_again(limit, shared):
    shared.is_away, shared.left = True, 0
    assert [await limit.hit("a", per_minute=PER_MINUTE)] * 3 == [Decision(allowed=True, counted=False)] * 3
    shared.is_away = False
    assert await hits(limit, 1) == [False]


async def test_nobody_waits_for_ever_for_anothers_answer(limit, shared):
    shared.gate = asyncio.Event()
    decisions = await asyncio.gather(*(limit.hit("a", per_minute=PER_MINUTE) for _ in range(3)))
    assert decisions == [Decision(allowed=True, counted=False)] * 3
