"""Wait for a condition with a deadline, never for a time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

POLL_S = 0.02

ResultT = TypeVar("ResultT")


async def eventually(
    condition: Callable[[], Awaitable[ResultT]], *, within_s: float = 30, what: str = "the condition"
) -> ResultT:
    """Return the first truthy answer of ``condition``; an assertion that fails counts as not yet.

    Raises:
        AssertionError: It was not met in time; says what the last answer was.
    """
    deadline = time.monotonic() + within_s
    while True:
        failure: AssertionError | None = None
        answer: ResultT | None = None
        try:
            answer = await condition()
        except AssertionError as error:
            failure = error
        if failure is None and answer:
            return answer
        if time.monotonic() > deadline:
            message = f"{what} was not met within {within_s} s; last answer: {answer!r}"
            raise AssertionError(message) from failure
        await asyncio.sleep(POLL_S)
