"""Which channels there are, kept in memory so that no webhook waits for PostgreSQL, or needs it."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

from rappit_common.logs import get_logger

from rappit_gateway.domain.channels import KnownChannel

RETRY_S = 1.0
REVALIDATE_AFTER_S = 1.0
RENEW_PART = 0.5

_log = get_logger()

Load = Callable[[UUID], Awaitable[KnownChannel | None]]


class DirectoryAwayError(Exception):
    """The channel is not known here, and PostgreSQL is away."""


@dataclass(slots=True)
class _Entry:
    channel: KnownChannel | None
    loaded_s: float
    renew_at_s: float
    fresh_until_s: float
    is_stranded: bool = False
    """Whether PostgreSQL was away when this was to be renewed: it serves on, and is renewed in the background."""


class ChannelDirectory:
    """A bounded cache of channels, and of ids that are none.

    An entry serves for ``ttl_s``. From its half on, a lookup renews it in the background, so that a busy channel never
    waits; past it, a lookup waits for PostgreSQL, and goes on with what it knew when that is away. From then on, nobody
    waits until PostgreSQL is back: it is asked in the background, once a second a channel.

    Args:
        load: Reads one channel from PostgreSQL; None when there is none.
        clock: Monotonic, in seconds.
        entries: Remembered at most; the least recently used goes first.
        ttl_s: How long a change made by another process may go unseen.
        timeout_s: How long a lookup waits for PostgreSQL.
    """

    def __init__(
        self, load: Load, *, clock: Callable[[], float], entries: int = 10_000, ttl_s: float = 30, timeout_s: float = 1
    ) -> None:
        self._load = load
        self._clock = clock
        self._max_entries = entries
        self._ttl_s = ttl_s
        self._timeout_s = timeout_s
        self._known: OrderedDict[UUID, _Entry] = OrderedDict()
        # Kept apart, so that a flood of made-up ids pushes out no channel.
        self._unknown: OrderedDict[UUID, _Entry] = OrderedDict()
        self._loading: dict[UUID, asyncio.Task[KnownChannel | None]] = {}

    async def find(self, channel_id: UUID, *, within_s: float | None = None) -> KnownChannel | None:
        """Return a channel, or None when there is none; waits no longer than ``within_s``, when that is less.

        Raises:
            DirectoryAwayError: It is not known here, and PostgreSQL is away.
        """
        entry = self._entry(channel_id)
        now = self._clock()
        if entry is None or (now >= entry.fresh_until_s and not entry.is_stranded):
            return await self._wait_for(channel_id, entry, within_s)
        if now >= entry.renew_at_s and channel_id not in self._loading:
            self._begin(channel_id)
        return entry.channel

    async def find_again(
        self, channel_id: UUID, seen: KnownChannel, *, within_s: float | None = None
    ) -> KnownChannel | None:
        """Return a channel whose signature did not fit ``seen``, when it has changed since; None when it has not.

        Another process may have rotated its secret, or changed how it signs, a moment ago. Asks PostgreSQL at most once
        a second a channel.
        """
        entry = self._known.get(channel_id)
        if entry is None or entry.is_stranded or self._clock() - entry.loaded_s < REVALIDATE_AFTER_S:
            return None
        channel = await self._wait_for(channel_id, entry, within_s)
        return channel if channel is not None and not channel.verifies_like(seen) else None

    def forget(self, channel_id: UUID) -> None:
        """Look a channel up anew next time: this process has just changed it."""
        self._known.pop(channel_id, None)
        self._unknown.pop(channel_id, None)
        # What is being read now may be older than the change: its answer is not kept.
        self._loading.pop(channel_id, None)

    def _entry(self, channel_id: UUID) -> _Entry | None:
        for entries in (self._known, self._unknown):
            entry = entries.get(channel_id)
            if entry is not None:
                entries.move_to_end(channel_id)
                return entry
        return None

    async def _wait_for(self, channel_id: UUID, stale: _Entry | None, within_s: float | None) -> KnownChannel | None:
        task = self._loading.get(channel_id) or self._begin(channel_id)
        try:
            # Bounded once more: a connection to a server that hangs may take longer to give up than to try.
            async with asyncio.timeout(self._timeout_s if within_s is None else min(self._timeout_s, within_s)):
                # Shielded: others may wait for the same answer.
                return await asyncio.shield(task)
        except (DirectoryAwayError, TimeoutError) as error:
            if stale is None:
                raise DirectoryAwayError(repr(error)) from error
            self._strand(stale)
            return stale.channel

    def _begin(self, channel_id: UUID) -> asyncio.Task[KnownChannel | None]:
        task = asyncio.create_task(self._read(channel_id), name="read-channel")
        self._loading[channel_id] = task
        task.add_done_callback(lambda done: self._settle(channel_id, done))
        return task

    async def _read(self, channel_id: UUID) -> KnownChannel | None:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._load(channel_id)
        except Exception as error:
            _log.warning("channel_lookup_failed", channel_id=str(channel_id), error=repr(error))
            raise DirectoryAwayError(repr(error)) from error

    def _settle(self, channel_id: UUID, task: asyncio.Task[KnownChannel | None]) -> None:
        if self._loading.get(channel_id) is not task:
            if not task.cancelled():
                task.exception()  # asked for, so that asyncio does not report it as unseen
            return
        del self._loading[channel_id]
        now = self._clock()
        if task.cancelled() or task.exception() is not None:
            stale = self._known.get(channel_id) or self._unknown.get(channel_id)
            if stale is not None:
                self._strand(stale)
            return
        channel = task.result()
        kept, other = (self._unknown, self._known) if channel is None else (self._known, self._unknown)
        other.pop(channel_id, None)
        kept[channel_id] = _Entry(channel, now, now + self._ttl_s * RENEW_PART, now + self._ttl_s)
        kept.move_to_end(channel_id)
        if len(kept) > self._max_entries:
            kept.popitem(last=False)

    def _strand(self, entry: _Entry) -> None:
        entry.is_stranded, entry.renew_at_s = True, self._clock() + RETRY_S

    async def stop(self) -> None:
        """End the lookups under way."""
        tasks = list(self._loading.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
