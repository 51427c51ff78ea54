"""Many messages in one transaction, without sharing their fate.

A handler submits its message and waits. The first starts a batch at once; those that arrive while a batch runs form the
next one, so nothing waits longer than the batch before it, and the busier the queue the larger the batches. A submit
returns after its batch was applied, so a message is acked only after the commit. When a batch fails, each of its items
is applied alone, and only the culprit's submit raises.
"""

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

from rappit_common.database.engine import is_outage
from rappit_common.logs import get_logger

KeyT = TypeVar("KeyT", bound=Hashable)
ItemT = TypeVar("ItemT")

_log = get_logger()


class Batcher(Generic[KeyT, ItemT]):
    """Applies what is submitted in batches, one batch a key at a time.

    What waits here is bounded by the consumer's prefetch: a message is held by its handler until it is applied.

    Args:
        apply: Applies items of one key in one transaction, all or nothing; must bear being called again for each.
        max_items: Items in a batch at most.
        max_running: Batches of different keys that run at once, so that they leave connections to others.
    """

    def __init__(
        self, apply: Callable[[KeyT, Sequence[ItemT]], Awaitable[None]], *, max_items: int = 200, max_running: int = 4
    ) -> None:
        self._apply = apply
        self._max_items = max_items
        self._slots = asyncio.Semaphore(max_running)
        self._waiting: dict[KeyT, deque[tuple[ItemT, asyncio.Future[None]]]] = {}
        self._runners: set[asyncio.Task[None]] = set()

    async def submit(self, key: KeyT, item: ItemT) -> None:
        """Return when ``item`` was applied.

        Raises:
            Exception: Whatever ``apply`` raised for this item alone, or for all when the database is away.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue = self._waiting.get(key)
        if queue is None:
            self._waiting[key] = deque([(item, done)])
            # An empty context: the batch belongs to none of its messages' traces, logs or transactions.
            runner = asyncio.create_task(self._run(key), name="batch", context=contextvars.Context())
            self._runners.add(runner)
            runner.add_done_callback(self._runners.discard)
        else:
            queue.append((item, done))
        await done

    async def _run(self, key: KeyT) -> None:
        queue = self._waiting[key]
        try:
            while queue:
                async with self._slots:
                    batch = [queue.popleft() for _ in range(min(len(queue), self._max_items))]
                    await self._apply_all(key, batch)
        finally:
            del self._waiting[key]
            # As above.
            for _, done in queue:
                done.cancel()

    async def _apply_all(self, key: KeyT, batch: list[tuple[ItemT, asyncio.Future[None]]]) -> None:
        try:
            error = await self._try(key, [item for item, _ in batch])
            if error is None or len(batch) == 1 or is_outage(error):
                for _, done in batch:
                    _settle(done, error)
                return
            _log.warning("batch_split", items=len(batch), error_type=type(error).__name__, error=str(error))
            for item, done in batch:
                _settle(done, await self._try(key, [item]))
        finally:
            # Left open by a cancelled runner only: nobody may wait for ever.
            for _, done in batch:
                done.cancel()

    async def _try(self, key: KeyT, items: list[ItemT]) -> Exception | None:
        try:
            await self._apply(key, items)
        except Exception as error:  # noqa: BLE001 - handed to the handlers, whose retry policy decides
            return error
        return None


def _settle(done: asyncio.Future[None], error: Exception | None) -> None:
    if done.done():  # its handler was cancelled meanwhile
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
