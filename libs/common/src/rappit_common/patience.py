"""Bounds many short waits of one length with one timer for all of them.

``asyncio.timeout`` makes and cancels a timer each time, and four of them were a tenth of accepting a webhook
(docs/performance.md). Waits of one length end in the order they began, so a queue and one look a tick are enough; a
wait may last a tick longer than asked. Use ``asyncio.timeout`` everywhere else.
"""

import asyncio
from collections import deque
from types import TracebackType
from typing import Any, Self

LOOKS = 20
"""How often one wait's length is looked at: a wait is at most a twentieth too long."""


class _Wait:
    """One wait under way; a context manager with the meaning of ``asyncio.timeout``."""

    __slots__ = ("_cancelling", "_patience", "due_s", "is_expired", "task")

    def __init__(self, patience: "Patience") -> None:
        self._patience = patience
        self.task: asyncio.Task[Any] | None = None
        self.due_s = 0.0
        self.is_expired = False
        self._cancelling = 0

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("only a task can be interrupted")
        self.task = task
        self._cancelling = task.cancelling()
        self._patience.began(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        task, self.task = self.task, None
        if not self.is_expired or task is None:
            return
        by_us_alone = task.uncancel() <= self._cancelling
        if by_us_alone and kind is not None and issubclass(kind, asyncio.CancelledError):
            raise TimeoutError from error


class Patience:
    """How long one kind of wait may last.

    Args:
        timeout_s: The length of each wait.
    """

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._waits: deque[_Wait] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def wait(self) -> _Wait:
        """Return a context (``with``) whose block is interrupted after ``timeout_s``.

        Raises:
            TimeoutError: From the block's end, when it was.
        """
        return _Wait(self)

    def began(self, wait: _Wait) -> None:
        """Note that a wait has begun."""
        loop = asyncio.get_running_loop()
        wait.due_s = loop.time() + self.timeout_s
        self._waits.append(wait)
        if self._timer is None:
            self._timer = loop.call_later(self.timeout_s / LOOKS, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        waits, now_s = self._waits, loop.time()
        while waits and (waits[0].task is None or waits[0].due_s <= now_s):
            wait = waits.popleft()
            if wait.task is not None:
                wait.is_expired = True
                wait.task.cancel()
        self._timer = loop.call_later(self.timeout_s / LOOKS, self._look, loop) if waits else None
