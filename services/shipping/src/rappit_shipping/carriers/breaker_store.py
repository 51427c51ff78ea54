"""Where purgatory keeps a breaker's state so that every replica shares it: one Redis hash a breaker.

purgatory's own Redis repository reads two keys a call, cannot be given a timeout or a client, lets a late replica
reset an open breaker by registering it again, and never expires its keys; hence this one.
"""

import time
from typing import Any, cast

from purgatory import AsyncAbstractUnitOfWork
from purgatory.domain.messages.base import Message
from purgatory.domain.model import OPENED, Context
from purgatory.service._async.repository import AsyncAbstractRepository
from redis.asyncio import Redis

KEY_LIFETIME_S = 7 * 24 * 3_600


class RedisContexts(AsyncAbstractRepository):
    """purgatory's repository over a Redis client whose timeouts are ours."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._redis: Any = redis
        self._prefix = prefix
        self.messages: list[Message] = []

    def _key(self, name: str) -> str:
        return f"{self._prefix}:{name}"

    async def get(self, name: str) -> Context | None:
        """Return a breaker as it stands now, for all replicas."""
        stored = cast("dict[bytes, bytes]", await self._redis.hgetall(self._key(name)))
        if b"threshold" not in stored:
            return None
        opened_at = stored.get(b"opened_at", b"")
        return Context(
            name,
            threshold=int(stored[b"threshold"]),
            ttl=float(stored[b"ttl"]),
            state=cast("Any", stored.get(b"state", b"closed").decode()),
            failure_count=int(stored.get(b"failures", b"0")),
            opened_at=float(opened_at) if opened_at else None,
        )

    async def register(self, context: Context) -> None:
        """Write a new breaker, unless another replica was first."""
        key = self._key(context.name)
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hsetnx(key, "threshold", context.threshold)
            pipeline.hsetnx(key, "ttl", context.ttl)
            pipeline.hsetnx(key, "state", context.state)
            pipeline.expire(key, KEY_LIFETIME_S)
            await pipeline.execute()

    async def update_state(self, name: str, state: str, opened_at: float | None) -> None:
        """Write a new state."""
        key = self._key(name)
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hset(key, mapping={"state": state, "opened_at": "" if opened_at is None else repr(opened_at)})
            pipeline.expire(key, KEY_LIFETIME_S)
            await pipeline.execute()

    async def inc_failures(self, name: str, failure_count: int) -> None:
        """Count one failure more, and open the breaker when it is one too many.

        The counting is Redis's: calls that fail at the same moment each read the count before any of them wrote it, so
        purgatory's own count would stay below the threshold.
        """
        del failure_count
        key = self._key(name)
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hincrby(key, "failures", 1)
            pipeline.hget(key, "threshold")
            failures, threshold = await pipeline.execute()
        if threshold is not None and int(failures) >= int(threshold):
            await self.update_state(name, OPENED, time.time())

    async def reset_failure(self, name: str) -> None:
        """Start counting anew."""
        await self._redis.hset(self._key(name), "failures", 0)


class RedisUnitOfWork(AsyncAbstractUnitOfWork):
    """purgatory's unit of work over :class:`RedisContexts`; every write stands by itself."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self.contexts = RedisContexts(redis, prefix)

    async def commit(self) -> None:
        """Nothing is held back."""

    async def rollback(self) -> None:
        """Nothing can be taken back: a count too many opens a breaker a call early, which is harmless."""
