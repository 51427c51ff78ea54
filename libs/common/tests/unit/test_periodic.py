"""Work done again and again: a failure is told, and there is a next time."""

import asyncio

from rappit_common.periodic import Periodic, in_batches


class Work(Periodic):
    def __init__(self):
        super().__init__("work", every_s=0)
        self.done = 0
        self.thrice = asyncio.Event()

    async def act(self):
        self.done += 1
        if self.done == 3:
            self.thrice.set()
        raise RuntimeError(f"failed {self.done} times")


async def test_what_fails_is_tried_again_until_it_is_stopped():
    work = Work()
    await work.start()
    async with asyncio.timeout(10):
        await work.thrice.wait()
    await work.stop()
    done = work.done
    for _ in range(10):
        await asyncio.sleep(0)
    assert work.done == done


async def test_stopping_what_never_began_is_no_error():
    await Work().stop()


async def test_batches_follow_each_other_until_one_is_not_full():
    left = [5, 5, 2, 5]

    async def act_on_some():
        return left.pop(0)

    await in_batches(act_on_some, 5)
    assert left == [5]
