"""Dead letters: drained from the broker into the owner's table, listed, and sent back to where they failed."""

import asyncio
import functools
import hashlib
from collections.abc import Awaitable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from aio_pika.abc import AbstractIncomingMessage, AbstractRobustConnection
from pydantic import SecretStr
from sqlalchemy import Row, and_, case, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from rappit_common.clock import new_id, utc_now
from rappit_common.database.engine import Database
from rappit_common.errors import ConflictError, NotFoundError
from rappit_common.logs import get_logger
from rappit_common.messaging import tables
from rappit_common.messaging.events import (
    HEADER_ATTEMPT,
    HEADER_ERROR_MESSAGE,
    HEADER_ERROR_STACK,
    HEADER_ERROR_TYPE,
    HEADER_ORGANIZATION,
)
from rappit_common.messaging.headers import attempt_of, json_safe, storable
from rappit_common.messaging.outbox import Outbox
from rappit_common.messaging.publisher import RECONNECT_S, BrokerAwayError, broker_faults, connect_robust
from rappit_common.messaging.topology import Subscription, declare_topology
from rappit_common.tracing import TRACEPARENT

PREFETCH = 50
PAUSE_S = 1.0
# RabbitMQ closes a consumer that keeps a message unacknowledged for 30 minutes.
KEEP_TRYING_S = 20 * 60
MAX_NAME_CHARACTERS = 200
TRACEPARENT_PARTS = 4
TRACE_ID_CHARACTERS = 32
DELIVERY_LIMIT_REACHED = "the broker gave up: the consumer died too often while it held this message"

_log = get_logger()
_columns = tables.dead_letters.c


class DeadLetterNotFoundError(NotFoundError):
    """No dead letter has this id."""

    code = "dead_letter_not_found"


class DeadLetterNotDeadError(ConflictError):
    """It was requeued already."""

    code = "dead_letter_not_dead"


def _organization(headers: Mapping[str, Any]) -> UUID | None:
    try:
        return UUID(str(headers.get(HEADER_ORGANIZATION)))
    except ValueError:
        return None


def _trace_id(headers: Mapping[str, Any]) -> str | None:
    parts = str(headers.get(TRACEPARENT, "")).split("-")
    return parts[1] if len(parts) == TRACEPARENT_PARTS and len(parts[1]) == TRACE_ID_CHARACTERS else None


def dead_letter_row(queue: str, message: AbstractIncomingMessage, *, now: datetime) -> dict[str, Any]:
    """Return the table's row for a message that arrived in ``<queue>.dlq``.

    A message that the broker itself gave up on (delivery limit) carries no error of ours; one that nobody gave an id is
    known by its body.
    """
    headers = json_safe(message.headers)
    message_id = storable(message.message_id or "")
    if not 0 < len(message_id) <= MAX_NAME_CHARACTERS:
        message_id = hashlib.sha256(message_id.encode() + message.body).hexdigest()
    attempts = attempt_of(headers)
    headers.pop(HEADER_ATTEMPT, None)
    errors = {name: headers.pop(name, None) for name in (HEADER_ERROR_TYPE, HEADER_ERROR_MESSAGE, HEADER_ERROR_STACK)}
    return {
        "id": new_id(),
        "queue": queue,
        "message_id": message_id,
        "event": storable(message.type or "")[:MAX_NAME_CHARACTERS],
        "organization_id": _organization(headers),
        "content_type": storable(message.content_type or "application/octet-stream")[:MAX_NAME_CHARACTERS],
        "headers": headers,
        "body": message.body,
        "error_type": str(errors[HEADER_ERROR_TYPE] or "delivery_limit")[:MAX_NAME_CHARACTERS],
        "error_message": str(errors[HEADER_ERROR_MESSAGE] or DELIVERY_LIMIT_REACHED),
        "error_stack": str(errors[HEADER_ERROR_STACK] or ""),
        "attempts": attempts,
        "trace_id": _trace_id(headers),
        "first_failed_at": now,
        "last_failed_at": now,
    }


class DeadLetterDrain:
    """Moves every ``<queue>.dlq`` of a service into its ``dead_letters`` table; acks after the commit.

    Args:
        service: The service's name.
        database: Its own.
        url: AMQP URL.
        subscriptions: Whose dead letters.
        retry_delays_s: As the consumers declare them; topology is declared here too, as this may start first.
    """

    def __init__(
        self,
        *,
        service: str,
        database: Database,
        url: SecretStr,
        subscriptions: tuple[Subscription, ...],
        retry_delays_s: tuple[float, ...],
    ) -> None:
        self._service = service
        self._database = database
        self._url = url
        self._subscriptions = subscriptions
        self._retry_delays_s = retry_delays_s
        self._connection: AbstractRobustConnection | None = None
        self._starting: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to drain in the background."""
        self._starting = asyncio.create_task(self._start(), name="dead-letter-drain")

    async def _start(self) -> None:
        name = f"{self._service}-dead-letters"
        while True:
            try:
                with broker_faults():
                    self._connection = await connect_robust(self._url, name)
                    channel = await self._connection.channel()
                    await channel.set_qos(prefetch_count=PREFETCH)
                    letters = await declare_topology(channel, self._service, self._subscriptions, self._retry_delays_s)
                    for queue, dead_letter_queue in letters.items():
                        await dead_letter_queue.consume(functools.partial(self._keep, queue))
            except BrokerAwayError as error:
                _log.warning("broker_away", connection=name, error=error.message)
                await self._disconnect()
                await asyncio.sleep(RECONNECT_S)
                continue
            return

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _keep(self, queue: str, message: AbstractIncomingMessage) -> None:
        row = dead_letter_row(queue, message, now=utc_now())
        fresh = insert(tables.dead_letters).values(row)
        again = {
            name: fresh.excluded[name]
            for name in ("headers", "body", "error_type", "error_message", "error_stack", "attempts", "last_failed_at")
        }
        statement = fresh.on_conflict_do_update(
            index_elements=["queue", "message_id"],
            set_={**again, "status": "dead", "requeue_outbox_id": None, "failures": _columns.failures + 1},
        )
        deadline = asyncio.get_running_loop().time() + KEEP_TRYING_S
        while True:
            try:
                async with self._database.engine.begin() as connection:
                    await connection.execute(statement)
            except Exception as error:  # noqa: BLE001 - whatever happened, this letter must not be lost
                _log.warning("dead_letter_not_kept", queue=queue, message_id=row["message_id"], error=repr(error))
                await asyncio.sleep(PAUSE_S)
                if asyncio.get_running_loop().time() > deadline:
                    await _settle(message.nack(requeue=True), queue)
                    return
            else:
                await _settle(message.ack(), queue)
                return

    async def stop(self) -> None:
        """Stop; what is in hand and not committed goes back to the broker."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        await self._disconnect()


async def _settle(settling: Awaitable[None], queue: str) -> None:
    try:
        with broker_faults():
            await settling
    except BrokerAwayError as error:
        # It comes again when the broker is back, and finds its row.
        _log.warning("ack_lost", queue=queue, error=error.message)


class DeadLetters:
    """A service's dead-letter table, inside a unit of work."""

    def __init__(self, session: AsyncSession, outbox: Outbox) -> None:
        self._session = session
        self._outbox = outbox

    async def newest(
        self, *, status: str | None, queue: str | None, limit: int, before: tuple[datetime, UUID] | None
    ) -> list[Row[Any]]:
        """Return dead letters, the last failed first, without their bodies' detail decided here.

        The status is ``dead``, ``requeueing`` (until the broker has confirmed) or ``requeued``.
        """
        shown = self._shown_status()
        statement = select(tables.dead_letters, shown).outerjoin(
            tables.outbox, tables.outbox.c.id == _columns.requeue_outbox_id
        )
        if status is not None:
            statement = statement.where(shown == status)
        if queue is not None:
            statement = statement.where(_columns.queue == queue)
        if before is not None:
            failed_at, row_id = before
            statement = statement.where(
                or_(
                    _columns.last_failed_at < failed_at,
                    and_(_columns.last_failed_at == failed_at, _columns.id < row_id),
                )
            )
        statement = statement.order_by(_columns.last_failed_at.desc(), _columns.id.desc()).limit(limit)
        return list((await self._session.execute(statement)).all())

    async def get(self, letter_id: UUID) -> Row[Any]:
        """Return one dead letter.

        Raises:
            DeadLetterNotFoundError: No such id.
        """
        statement = (
            select(tables.dead_letters, self._shown_status())
            .outerjoin(tables.outbox, tables.outbox.c.id == _columns.requeue_outbox_id)
            .where(_columns.id == letter_id)
        )
        row = (await self._session.execute(statement)).one_or_none()
        if row is None:
            raise DeadLetterNotFoundError(f"There is no dead letter {letter_id} here.", id=str(letter_id))
        return row

    async def requeue(self, letter_id: UUID, *, actor: str, mended_body: bytes | None = None) -> None:
        """Send a dead letter back to the queue it failed in, as a first attempt under its own message id.

        It travels by the outbox, so it is sent exactly when this commits, survives our death, and counts as requeued
        only after the broker's confirm.

        Args:
            letter_id: Which.
            actor: Who asked.
            mended_body: Sent in place of the body that failed, which stays in the table.

        Raises:
            DeadLetterNotFoundError: No such id.
            DeadLetterNotDeadError: It was requeued already, perhaps by a double click.
        """
        statement = select(tables.dead_letters).where(_columns.id == letter_id).with_for_update()
        row = (await self._session.execute(statement)).one_or_none()
        if row is None:
            raise DeadLetterNotFoundError(f"There is no dead letter {letter_id} here.", id=str(letter_id))
        if row.status != "dead":
            raise DeadLetterNotDeadError("This dead letter was requeued already.", id=str(letter_id), status=row.status)
        outbox_id = self._outbox.add_message(
            event=row.event,
            exchange="",
            routing_key=row.queue,
            message_id=row.message_id,
            body=row.body if mended_body is None else mended_body,
            content_type=row.content_type,
            headers={k: v for k, v in row.headers.items() if not k.startswith("x-")},
            organization_id=row.organization_id,
        )
        await self._session.execute(
            update(tables.dead_letters)
            .where(_columns.id == letter_id)
            .values(status="requeued", requeue_outbox_id=outbox_id, requeued_by=actor)
        )

    @staticmethod
    def _shown_status() -> Any:
        waiting = and_(
            _columns.status == "requeued", tables.outbox.c.id.is_not(None), tables.outbox.c.sent_at.is_(None)
        )
        return case((waiting, "requeueing"), else_=_columns.status).label("shown_status")
