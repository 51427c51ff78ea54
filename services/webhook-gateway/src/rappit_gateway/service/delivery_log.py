"""The delivery log's way in: noted in memory on the hot path, written together a moment later.

It is a log. A webhook never waits for it and is never refused for it: while PostgreSQL is away the newest rows are kept
within a bound and the rest is dropped and counted. What is lost here of an accepted webhook is not lost to the log,
since its outcome makes its row all the same, only without the body (ADR 0011).
"""

import asyncio
import contextlib
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from uuid import UUID

from opentelemetry import metrics
from rappit_common.errors import RappitError
from rappit_common.logs import get_logger

from rappit_gateway.domain.channels import KnownChannel
from rappit_gateway.domain.deliveries import DeliveryStatus
from rappit_gateway.repository.delivery_log import LogAwayError, LoggedDelivery
from rappit_gateway.service.acceptance import Accepted, MessageIds, VerifiedWebhook, message_headers

FLUSH_S = 0.1
BATCH_ROWS = 500
# Written in smaller ones: what encodes half a thousand bodies at once keeps every webhook waiting meanwhile.
WRITTEN_ROWS = 20
BATCH_BYTES = 4 * 1024 * 1024
RETRY_S = 1.0
STOP_S = 3.0
REJECTED_EVERY_S = 1.0
MAX_REMEMBERED_CHANNELS = 10_000
MAX_CLIENT_CHARACTERS = 100
MAX_DETAIL_CHARACTERS = 500

_log = get_logger()
_dropped = metrics.get_meter("rappit.gateway").create_counter(
    "rappit.delivery_log.dropped", description="Rows of the delivery log that were never written."
)
_unlisted = metrics.get_meter("rappit.gateway").create_counter(
    "rappit.delivery_log.rejected_unlisted", description="Rejected deliveries counted in another's row of the log."
)

_Entry = tuple[VerifiedWebhook, Accepted] | LoggedDelivery


class RejectedBudget:
    """Gives each channel one row of rejected deliveries a second, and counts the ones left out.

    Args:
        monotonic: In seconds.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._channels: OrderedDict[UUID, tuple[float, int]] = OrderedDict()

    def take(self, channel_id: UUID) -> int | None:
        """Return None when there is to be no row, else how many there were none for since the last that has one."""
        now_s = self._monotonic()
        last_s, left_out = self._channels.get(channel_id, (-REJECTED_EVERY_S + now_s, 0))
        if now_s - last_s < REJECTED_EVERY_S:
            self._channels[channel_id] = last_s, left_out + 1
            return None
        self._channels[channel_id] = now_s, 0
        self._channels.move_to_end(channel_id)
        if len(self._channels) > MAX_REMEMBERED_CHANNELS:
            self._channels.popitem(last=False)
        return left_out


class DeliveryLog:
    """Keeps what is to be logged until it is written; a part of the API's process.

    Args:
        write: Writes rows in one transaction; writing them again changes nothing.
        new_id: Makes the ids of rejected deliveries.
        monotonic: In seconds.
        wall_clock: Seconds of the epoch.
        max_rows: Kept at most; of more, the newest.
        max_bytes: Of bodies kept at most, likewise.
    """

    def __init__(
        self,
        write: Callable[[Sequence[LoggedDelivery]], Awaitable[None]],
        *,
        new_id: MessageIds,
        monotonic: Callable[[], float],
        wall_clock: Callable[[], float],
        max_rows: int,
        max_bytes: int,
    ) -> None:
        self._write = write
        self._new_id = new_id
        self._wall_clock = wall_clock
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._rejected = RejectedBudget(monotonic)
        self._waiting: deque[_Entry] = deque()
        self._waiting_bytes = 0
        self._some = asyncio.Event()
        self._full = asyncio.Event()
        self._lost_rows = 0
        self._task: asyncio.Task[None] | None = None

    def accepted(self, webhook: VerifiedWebhook, accepted: Accepted) -> None:
        """Note a webhook that is durable."""
        self._add((webhook, accepted), len(webhook.body))

    def rejected(
        self, channel: KnownChannel, refusal: RappitError, *, client: str, announced_bytes: int | None, trace_id: str
    ) -> None:
        """Note a webhook that was refused, unless its channel had a row for one within this second."""
        left_out = self._rejected.take(channel.channel_id)
        if left_out is None:
            _unlisted.add(1)
            return
        row = LoggedDelivery(
            delivery_id=self._new_id(),
            organization_id=channel.organization_id,
            channel_id=channel.channel_id,
            provider=channel.provider.value,
            status=DeliveryStatus.REJECTED.value,
            received_at=datetime.fromtimestamp(self._wall_clock(), UTC),
            cause=refusal.code,
            detail=refusal.message[:MAX_DETAIL_CHARACTERS],
            body_bytes=announced_bytes,
            trace_id=trace_id,
            client=client[:MAX_CLIENT_CHARACTERS],
            left_out=left_out,
        )
        self._add(row, 0)

    def _add(self, entry: _Entry, size: int) -> None:
        self._waiting.append(entry)
        self._waiting_bytes += size
        if len(self._waiting) > self._max_rows or self._waiting_bytes > self._max_bytes:
            self._drop_oldest()
        self._some.set()
        if len(self._waiting) >= BATCH_ROWS or self._waiting_bytes >= BATCH_BYTES:
            self._full.set()

    def _drop_oldest(self) -> None:
        while self._waiting and (len(self._waiting) > self._max_rows or self._waiting_bytes > self._max_bytes):
            self._waiting_bytes -= _size(self._waiting.popleft())
            self._lose(1)

    def _lose(self, rows: int) -> None:
        self._lost_rows += rows
        _dropped.add(rows)

    async def start(self) -> None:
        """Begin to write in the background."""
        self._task = asyncio.create_task(self._run(), name="delivery-log")

    async def stop(self) -> None:
        """Write what is left, unless PostgreSQL is away."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        try:
            async with asyncio.timeout(STOP_S):
                await self._drain()
        except (LogAwayError, TimeoutError) as error:
            _log.warning("delivery_log_away", error=repr(error))
        self._lose(len(self._waiting))
        self._tell_lost()

    async def _run(self) -> None:
        while True:
            await self._some.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_S):
                    await self._full.wait()
            self._some.clear()
            self._full.clear()
            try:
                await self._drain()
            except LogAwayError as error:
                _log.warning("delivery_log_away", waiting_rows=len(self._waiting), error=str(error))
                await asyncio.sleep(RETRY_S)
                self._some.set()
            self._tell_lost()

    def _tell_lost(self) -> None:
        lost, self._lost_rows = self._lost_rows, 0
        if lost:
            _log.warning("delivery_log_dropped", rows=lost)

    async def _drain(self) -> None:
        while batch := self._take():
            try:
                await self._write_batch([_row(entry) for entry in batch])
            except (LogAwayError, asyncio.CancelledError):
                self._put_back(batch)
                raise

    def _take(self) -> list[_Entry]:
        batch: list[_Entry] = []
        size = 0
        while self._waiting and len(batch) < WRITTEN_ROWS and size < BATCH_BYTES:
            entry = self._waiting.popleft()
            batch.append(entry)
            size += _size(entry)
        self._waiting_bytes -= size
        return batch

    def _put_back(self, batch: list[_Entry]) -> None:
        self._waiting.extendleft(reversed(batch))
        self._waiting_bytes += sum(_size(entry) for entry in batch)
        self._drop_oldest()

    async def _write_batch(self, rows: list[LoggedDelivery]) -> None:
        try:
            await self._write(rows)
        except LogAwayError:
            raise
        except Exception as error:  # noqa: BLE001 - a fault of one row, which the others must not suffer for
            if len(rows) == 1:
                _log.error("delivery_not_logged", delivery_id=str(rows[0].delivery_id), exc_info=error)
                self._lose(1)
                return
            for row in rows:
                await self._write_batch([row])


def _size(entry: _Entry) -> int:
    return 0 if isinstance(entry, LoggedDelivery) else len(entry[0].body)


def _row(entry: _Entry) -> LoggedDelivery:
    if isinstance(entry, LoggedDelivery):
        return entry
    webhook, accepted = entry
    channel, delivery = webhook.channel, webhook.delivery
    return LoggedDelivery(
        delivery_id=accepted.message_id,
        organization_id=channel.organization_id,
        channel_id=channel.channel_id,
        provider=channel.provider.value,
        status=DeliveryStatus.ACCEPTED.value,
        received_at=datetime.fromtimestamp(webhook.received_at_s, UTC),
        topic=delivery.topic,
        provider_delivery_id=delivery.delivery_id,
        dedupe_key=delivery.dedupe_key,
        source=delivery.source,
        body_bytes=len(webhook.body),
        spooled=accepted.is_spooled,
        trace_id=webhook.traceparent.split("-")[1],
        headers=message_headers(webhook),
        body=webhook.body,
    )
