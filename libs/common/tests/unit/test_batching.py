"""Batches form by themselves, return after they are applied, and share no fate."""

import asyncio

import pytest
from rappit_common.messaging.batching import Batcher


class Recorder:
    """Applies batches, held by a gate, refusing what a test says."""

    def __init__(self, poison=()):
        self.batches = []
        self.applied = []
        self.gate = asyncio.Event()
        self.poison = dict(poison)

    async def apply(self, key, items):
        self.batches.append((key, list(items)))
        await self.gate.wait()
        for item in items:
            if item in self.poison:
                raise self.poison[item]
        self.applied += items  # all or nothing, like a transaction


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


async def test_first_starts_at_once_and_those_meanwhile_form_the_next():
    recorder = Recorder()
    batcher = Batcher(recorder.apply, max_items=3)
    first = asyncio.create_task(batcher.submit("a", 1))
    await settle()
    assert recorder.batches == [("a", [1])]
    rest = [asyncio.create_task(batcher.submit("a", n)) for n in (2, 3, 4, 5)]
    await settle()
    assert not first.done()
    recorder.gate.set()
    await asyncio.gather(first, *rest)
    assert recorder.batches == [("a", [1]), ("a", [2, 3, 4]), ("a", [5])]


async def test_keys_run_beside_each_other_within_the_bound():
    recorder = Recorder()
    batcher = Batcher(recorder.apply, max_running=2)
    tasks = [asyncio.create_task(batcher.submit(key, key)) for key in "abc"]
    await settle()
    assert [key for key, _ in recorder.batches] == ["a", "b"]
    recorder.gate.set()
    await asyncio.gather(*tasks)
    assert recorder.applied == ["a", "b", "c"]


async def test_poison_raises_for_its_own_submit_only():
    recorder = Recorder({2: ValueError("two")})
    recorder.gate.set()
    batcher = Batcher(recorder.apply)
    results = await asyncio.gather(*(batcher.submit("a", n) for n in (1, 2, 3)), return_exceptions=True)
    assert [str(result) for result in results] == ["None", "two", "None"]
    assert recorder.applied == [1, 3]
    assert [items for _, items in recorder.batches] == [[1, 2, 3], [1], [2], [3]]


async def test_outage_is_told_to_all_without_trying_each():
    recorder = Recorder({2: ConnectionRefusedError("away")})
    recorder.gate.set()
    batcher = Batcher(recorder.apply)
    results = await asyncio.gather(*(batcher.submit("a", n) for n in (1, 2, 3)), return_exceptions=True)
    assert [type(result) for result in results] == [ConnectionRefusedError] * 3
    assert len(recorder.batches) == 1


async def test_cancelled_handler_does_not_disturb_its_batch():
    recorder = Recorder()
    batcher = Batcher(recorder.apply)
    tasks = [asyncio.create_task(batcher.submit("a", n)) for n in (1, 2)]
    await settle()
    tasks[0].cancel()
    recorder.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
    await tasks[1]
    assert recorder.applied == [1, 2]
    await batcher.submit("a", 3)
    assert recorder.applied == [1, 2, 3]
