"""The way of a dead letter from the broker into the table."""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import aio_pika
import aiormq
from aio_pika.abc import AbstractIncomingMessage
from pydantic import SecretStr
from sqlalchemy import String, case, func, or_
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.dml import ReturningInsert

from rappit_common.clock import utc_now
from rappit_common.database.engine import Database
from rappit_common.logs import get_logger
from rappit_common.messaging import tables
from rappit_common.messaging.dead_letters.filters import SIMPLE
from rappit_common.messaging.dead_letters.letter import dead_letter_row
from rappit_common.messaging.dead_letters.shapes import searchable_text
from rappit_common.messaging.events import HEADER_REQUEUE, PublishedEvent
from rappit_common.messaging.outbox import outbox_row
from rappit_common.messaging.publisher import (
    CONNECT_TIMEOUT_S,
    HEARTBEAT_S,
    RECONNECT_S,
    BrokerAwayError,
    broker_faults,
)
from rappit_common.messaging.topology import Subscription, declare_topology
from rappit_common.tracing import TRACEPARENT

PREFETCH = 50
PAUSE_S = 1.0
# RabbitMQ closes a consumer that keeps a message unacknowledged for 30 minutes.
KEEP_TRYING_S = 20 * 60

Announce = Callable[[Mapping[str, Any]], PublishedEvent | None]
"""Given the row of a letter just kept, the event that tells of it, if any."""

_AGAIN = (
    "headers",
    "body",
    "error_type",
    "error_message",
    "error_stack",
    "attempts",
    "last_failed_at",
    "message_shape",
    "group_key",
    "search",
)

_log = get_logger()
_columns = tables.dead_letters.c


def keeping(row: Mapping[str, Any]) -> ReturningInsert[Any]:
    """Return the statement that keeps a dead letter; it returns the row's id, or nothing for one that is known.

    A message that fails again comes back to its row, dead whatever had been done to it, and with its count raised. Not
    so a late copy of a failure that was requeued since (an ack was lost, a message had come twice): what becomes of the
    requeued copy decides, and each copy carries the mark of its requeue.
    """
    searched = func.to_tsvector(SIMPLE, searchable_text(row["error_message"], row["body"]))
    fresh = insert(tables.dead_letters).values({**row, "search": searched})
    mark = str(row["headers"].get(HEADER_REQUEUE))
    return fresh.on_conflict_do_update(
        index_elements=["queue", "message_id"],
        set_={
            **{name: fresh.excluded[name] for name in _AGAIN},
            "status": "dead",
            "failures": _columns.failures + 1,
            "requeue_outbox_id": None,
            "requeued_at": None,
            "discarded_by": None,
            "discarded_at": None,
            "discard_reason": None,
            "run_state": case((_columns.run_state == "sent", "failed"), else_=_columns.run_state),
        },
        # Letters without the time of their requeue were requeued before copies were marked.
        where=or_(
            _columns.status != "requeued",
            _columns.requeued_at.is_(None),
            sql_cast(_columns.requeue_outbox_id, String) == mark,
        ),
    ).returning(_columns.id)


class DeadLetterDrain:
    """Moves every ``<queue>.dlq`` of a service into its ``dead_letters`` table; acks after the commit.

    Args:
        service: The service's name.
        database: Its own.
        url: AMQP URL.
        subscriptions: Whose dead letters.
        retry_delays_s: As the consumers declare them; topology is declared here too, as this may start first.
        announce: Makes the event that tells of a letter, written to the outbox in the letter's transaction.
        nudge: Wakes the relay of this process.
    """

    def __init__(
        self,
        *,
        service: str,
        database: Database,
        url: SecretStr,
        subscriptions: tuple[Subscription, ...],
        retry_delays_s: tuple[float, ...],
        announce: Announce | None = None,
        nudge: Callable[[], None] = lambda: None,
    ) -> None:
        self._service = service
        self._database = database
        self._url = url
        self._subscriptions = subscriptions
        self._retry_delays_s = retry_delays_s
        self._announce = announce
        self._nudge = nudge
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to drain in the background."""
        self._running = asyncio.create_task(self._run(), name="dead-letter-drain")

    async def _run(self) -> None:
        name = f"{self._service}-dead-letters"
        while True:
            try:
                with broker_faults():
                    await self._drain(name)
                _log.warning("consumer_ended", connection=name)
            except BrokerAwayError as error:
                _log.warning("broker_away", connection=name, error=error.message)
            except Exception as error:  # noqa: BLE001 - nobody waits for this task, so it says why here and tries again
                _log.error("drain_failed", connection=name, exc_info=error)
            await asyncio.sleep(RECONNECT_S)

    async def _drain(self, name: str) -> None:
        """Connect and consume, and return or raise when the connection, the channel or a consumer is gone.

        Not by a connection that restores itself: one that was cut while it did so was seen to come back without its
        consumers, and letters then lay in their queues for good.
        """
        connection = await aio_pika.connect(
            self._url.get_secret_value(),
            timeout=CONNECT_TIMEOUT_S,
            heartbeat=HEARTBEAT_S,
            client_properties={"connection_name": name},
        )
        async with connection:
            channel = await connection.channel()
            await channel.set_qos(prefetch_count=PREFETCH)
            letters = await declare_topology(channel, self._service, self._subscriptions, self._retry_delays_s)
            beneath = cast("aiormq.Channel", await channel.get_underlay_channel())
            cancelled = asyncio.Event()
            beneath.on_consumer_cancel_callbacks.add(lambda _frame: cancelled.set())
            for queue, dead_letter_queue in letters.items():
                await dead_letter_queue.consume(functools.partial(self._keep, queue))
            ended = asyncio.create_task(cancelled.wait())
            try:
                await asyncio.wait((ended, beneath.closing), return_when=asyncio.FIRST_COMPLETED)
            finally:
                ended.cancel()

    async def _keep(self, queue: str, message: AbstractIncomingMessage) -> None:
        row = dead_letter_row(queue, message, now=utc_now())
        statement, told = keeping(row), self._announcement_of(row)
        deadline = asyncio.get_running_loop().time() + KEEP_TRYING_S
        while True:
            try:
                async with self._database.engine.begin() as connection:
                    kept = (await connection.execute(statement)).one_or_none() is not None
                    if kept and told is not None:
                        await connection.execute(insert(tables.outbox).values(told))
            except Exception as error:  # noqa: BLE001 - whatever happened, this letter must not be lost
                _log.warning("dead_letter_not_kept", queue=queue, message_id=row["message_id"], error=repr(error))
                await asyncio.sleep(PAUSE_S)
                if asyncio.get_running_loop().time() > deadline:
                    await _settle(message.nack(requeue=True), queue)
                    return
            else:
                if kept and told is not None:
                    self._nudge()
                await _settle(message.ack(), queue)
                return

    def _announcement_of(self, row: Mapping[str, Any]) -> dict[str, Any] | None:
        try:
            event = None if self._announce is None else self._announce(row)
        except Exception as error:  # noqa: BLE001 - a letter that cannot be announced must be kept all the same
            _log.error("dead_letter_not_announced", message_id=row["message_id"], exc_info=error)
            return None
        if event is None:
            return None
        trace = row["headers"].get(TRACEPARENT)
        return outbox_row(event, traceparent=trace if isinstance(trace, str) else None)

    async def stop(self) -> None:
        """Stop; what is in hand and not committed goes back to the broker."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)


async def _settle(settling: Awaitable[None], queue: str) -> None:
    try:
        with broker_faults():
            await settling
    except BrokerAwayError as error:
        # It comes again when the broker is back, and finds its row.
        _log.warning("ack_lost", queue=queue, error=error.message)
