"""Work that outlives its request: a caller who hangs up must not leave a bought label unrecorded."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

ResultT = TypeVar("ResultT")


class ShieldedTasks:
    """Runs each piece of work as a task of its own, which a cancelled caller does not cancel.

    Args:
        drain_timeout_s: How long a stop waits for what is under way; the reconciler looks after the rest.
    """

    def __init__(self, drain_timeout_s: float) -> None:
        self._drain_timeout_s = drain_timeout_s
        self._running: set[asyncio.Task[Any]] = set()

    async def run(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Return the work's result; when the caller is cancelled the work goes on."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            # Read, lest asyncio complain about one whose caller is gone; the work itself has recorded what failed.
            task.exception()

    async def start(self) -> None:
        """Nothing is to be begun."""

    async def stop(self) -> None:
        """Wait for what is under way, then let go of it."""
        if not self._running:
            return
        _, late = await asyncio.wait(self._running, timeout=self._drain_timeout_s)
        for task in late:
            task.cancel()
