"""Work that a process does again and again in the background."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable

from rappit_common.logs import get_logger

_log = get_logger()


class Periodic(ABC):
    """A part of a service that acts every so often; what fails is logged and tried again the next time.

    Args:
        name: Of its task, and in the log.
        every_s: How long it rests before each time, the first included.
    """

    def __init__(self, name: str, *, every_s: float) -> None:
        self._name = name
        self._every_s = every_s
        self._task: asyncio.Task[None] | None = None

    @abstractmethod
    async def act(self) -> None:
        """Do it once."""

    async def start(self) -> None:
        """Begin in the background."""
        self._task = asyncio.create_task(self._run(), name=self._name)

    async def stop(self) -> None:
        """Stop; a transaction under way is rolled back, and what is left is done another time."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            try:
                await self.act()
            except Exception as error:  # noqa: BLE001 - whatever it was, there is a next time
                _log.warning("periodic_work_failed", work=self._name, error=repr(error))


async def in_batches(act_on_some: Callable[[], Awaitable[int]], batch_rows: int) -> None:
    """Act on one batch after another until one was not full: a single one each time could fall behind for ever.

    Args:
        act_on_some: Acts on at most ``batch_rows`` rows in a transaction of its own, and returns on how many.
        batch_rows: Of a full batch.
    """
    while await act_on_some() == batch_rows:
        pass
