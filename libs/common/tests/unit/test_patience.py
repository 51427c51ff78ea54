"""Waits are bounded as by ``asyncio.timeout``, many at once and each by itself."""

import asyncio

import pytest
from rappit_common.patience import Patience
from rappit_common.testing.waiting import eventually

SHORT_S = 0.02
LONG_S = 60


async def for_ever():
    await asyncio.Event().wait()


async def test_a_wait_that_lasts_too_long_is_interrupted():
    with pytest.raises(TimeoutError), Patience(SHORT_S).wait():
        await for_ever()


async def test_a_wait_that_ends_in_time_returns_and_is_forgotten():
    patience = Patience(SHORT_S)
    for _ in range(100):
        with patience.wait():
            await asyncio.sleep(0)
    await eventually(lambda: asyncio.sleep(0, not patience._waits and patience._timer is None), what="nothing kept")


async def test_whoever_waits_longer_than_others_is_interrupted_alone():
    patience = Patience(SHORT_S)

    async def bounded(awaited):
        with patience.wait():
            return await awaited

    slow = asyncio.create_task(bounded(for_ever()))
    quick = [asyncio.create_task(bounded(asyncio.sleep(0, number))) for number in range(5)]
    assert await asyncio.gather(*quick) == [0, 1, 2, 3, 4]
    with pytest.raises(TimeoutError):
        await slow


async def test_a_cancellation_by_others_stays_one():
    patience, began = Patience(LONG_S), asyncio.Event()

    async def bounded():
        with patience.wait():
            began.set()
            await for_ever()

    task = asyncio.create_task(bounded())
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_of_the_block_passes_unchanged():
    with pytest.raises(KeyError), Patience(LONG_S).wait():
        raise KeyError("its own")


async def test_a_task_lives_on_after_it_was_interrupted():
    patience = Patience(SHORT_S)
    for _ in range(2):
        with pytest.raises(TimeoutError), patience.wait():
            await for_ever()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    assert await asyncio.sleep(0, "alive") == "alive"
