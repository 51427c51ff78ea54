"""All SQL about the delivery log, but for the writing of what arrives (``delivery_log.py``)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Select, select, text, union_all
from sqlalchemy.ext.asyncio import AsyncSession

from rappit_gateway.domain.deliveries import DeliveryOutcome, DeliveryStatus, first_id_at
from rappit_gateway.models import WebhookBody, WebhookDelivery

# Between the moment a webhook is received and the making of its id, by the same process.
ID_SLACK = timedelta(minutes=1)
REPLAYABLE = tuple(status for status in DeliveryStatus if status is not DeliveryStatus.REJECTED)

# Set-based and in the order of ids, as the log is written, so that no two batches wait for each other.
_NOTE = text(
    "INSERT INTO webhook_deliveries AS known (id, organization_id, channel_id, provider, topic, delivery_id, status,"
    " cause, detail, external_order_id, order_id, received_at, settled_at, trace_id, spooled, left_out)"
    " SELECT told.id, :organization_id, told.channel_id, told.provider, told.topic, told.delivery_id, told.status,"
    " told.cause, told.detail, told.external_order_id, told.order_id, told.received_at, told.settled_at, told.trace_id,"
    " false, 0"
    " FROM unnest(CAST(:ids AS uuid[]), CAST(:channel_ids AS uuid[]), CAST(:providers AS text[]),"
    " CAST(:topics AS text[]), CAST(:delivery_ids AS text[]), CAST(:statuses AS text[]), CAST(:causes AS text[]),"
    " CAST(:details AS text[]), CAST(:external_order_ids AS text[]), CAST(:order_ids AS uuid[]),"
    " CAST(:received AS timestamptz[]), CAST(:settled AS timestamptz[]), CAST(:trace_ids AS text[]))"
    " AS told (id, channel_id, provider, topic, delivery_id, status, cause, detail, external_order_id, order_id,"
    " received_at, settled_at, trace_id) ORDER BY told.id"
    " ON CONFLICT (id) DO UPDATE SET status = excluded.status, cause = excluded.cause, detail = excluded.detail,"
    " external_order_id = coalesce(excluded.external_order_id, known.external_order_id),"
    " order_id = coalesce(excluded.order_id, known.order_id), settled_at = excluded.settled_at"
    " WHERE (CASE known.status WHEN 'accepted' THEN 0 WHEN 'dead_lettered' THEN 1 ELSE 2 END,"
    " coalesce(known.settled_at, '-infinity'))"
    " < (CASE excluded.status WHEN 'dead_lettered' THEN 1 ELSE 2 END, excluded.settled_at)"
)
# The body goes from table to table: a thousand of them would not fit this process.
_SEND = text(
    "INSERT INTO outbox (id, organization_id, event, exchange, routing_key, message_id, content_type, headers, body,"
    " mandatory)"
    " SELECT chosen.id, kept.organization_id, :event, :exchange, :event, chosen.id::text, :content_type,"
    " kept.headers || jsonb_build_object('rappit-dedupe-key', chosen.dedupe_key) || CAST(:trace AS jsonb), kept.body,"
    " true"
    " FROM unnest(CAST(:ids AS uuid[]), CAST(:original_ids AS uuid[]), CAST(:dedupe_keys AS text[]))"
    " AS chosen (id, original_id, dedupe_key) JOIN webhook_bodies AS kept ON kept.id = chosen.original_id"
    " ORDER BY chosen.id"
)


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """What a search is narrowed to; None and no statuses narrow nothing.

    Attributes:
        since: Received at this time or later.
        before: Received earlier than this.
    """

    channel_id: UUID | None = None
    topic: str | None = None
    statuses: tuple[DeliveryStatus, ...] = ()
    cause: str | None = None
    external_order_id: str | None = None
    since: datetime | None = None
    before: datetime | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it names nothing at all."""
        return self == DeliveryFilter()


@dataclass(frozen=True, slots=True)
class Replay:
    """A delivery that is to run again under ids of its own."""

    replay_id: UUID
    original_id: UUID
    dedupe_key: str


class DeliveryRepository:
    """The log of one organization."""

    def __init__(self, session: AsyncSession, organization_id: UUID) -> None:
        self._session = session
        self._organization_id = organization_id

    async def page(self, wanted: DeliveryFilter, *, before_id: UUID | None, rows: int) -> Sequence[WebhookDelivery]:
        """Return what matches and arrived before ``before_id``, newest first."""
        ids = self._newest(wanted, [], before_id, rows)
        found = await self._session.scalars(
            select(WebhookDelivery).where(WebhookDelivery.id.in_(ids)).order_by(WebhookDelivery.id.desc())
        )
        return found.all()

    async def originals(
        self, wanted: DeliveryFilter, *, before_id: UUID | None, rows: int
    ) -> Sequence[WebhookDelivery]:
        """Return like :meth:`page`, but nothing that is a replay itself or was rejected."""
        statuses = tuple(status for status in wanted.statuses or REPLAYABLE if status in REPLAYABLE)
        if not statuses:
            return []
        ids = self._newest(replace(wanted, statuses=statuses), [WebhookDelivery.replay_of.is_(None)], before_id, rows)
        found = await self._session.scalars(
            select(WebhookDelivery).where(WebhookDelivery.id.in_(ids)).order_by(WebhookDelivery.id.desc())
        )
        return found.all()

    def _newest(
        self, wanted: DeliveryFilter, more: list[ColumnElement[bool]], before_id: UUID | None, rows: int
    ) -> Select[tuple[UUID]]:
        """Return the ids of a page, as a query.

        A part for each status, since in the indexes the ids of one status stand in order, and those of several do not:
        each part reads a page's rows and no more, however rare the status and large the log.
        """
        conditions = [WebhookDelivery.organization_id == self._organization_id, *_conditions(wanted), *more]
        if before_id is not None:
            conditions.append(WebhookDelivery.id < before_id)
        newest = select(WebhookDelivery.id).where(*conditions).order_by(WebhookDelivery.id.desc()).limit(rows)
        statuses = wanted.statuses or tuple(DeliveryStatus)
        if wanted.external_order_id is not None:
            return newest.where(WebhookDelivery.status.in_([status.value for status in statuses]))
        parts = union_all(*(newest.where(WebhookDelivery.status == s.value).subquery().select() for s in statuses))
        together = parts.subquery()
        return select(together.c.id).order_by(together.c.id.desc()).limit(rows)

    async def find(self, delivery_id: UUID) -> WebhookDelivery | None:
        """Return one delivery; None when this tenant's log has none of this id."""
        return await self._session.scalar(select(WebhookDelivery).where(WebhookDelivery.id == delivery_id))

    async def body_of(self, delivery: WebhookDelivery) -> WebhookBody | None:
        """Return what a delivery said, its original's if it is a replay; None when it is not kept."""
        kept_under = delivery.replay_of or delivery.id
        return await self._session.scalar(select(WebhookBody).where(WebhookBody.id == kept_under))

    async def lock(self, delivery_ids: Sequence[UUID]) -> Sequence[WebhookDelivery]:
        """Return deliveries that nobody else replays until this transaction ends."""
        found = await self._session.scalars(
            select(WebhookDelivery)
            .where(WebhookDelivery.id.in_(delivery_ids))
            .order_by(WebhookDelivery.id)
            .with_for_update()
        )
        return found.all()

    async def with_body(self, delivery_ids: Sequence[UUID]) -> set[UUID]:
        """Return those whose bodies are kept."""
        found = await self._session.scalars(select(WebhookBody.id).where(WebhookBody.id.in_(delivery_ids)))
        return set(found)

    async def under_way(self, original_ids: Sequence[UUID], *, since: datetime) -> dict[UUID, WebhookDelivery]:
        """Return the replays of deliveries that began lately and have no outcome yet, by their originals."""
        found = await self._session.scalars(
            select(WebhookDelivery)
            .where(
                WebhookDelivery.replay_of.in_(original_ids),
                WebhookDelivery.status == DeliveryStatus.ACCEPTED.value,
                WebhookDelivery.received_at > since,
            )
            .order_by(WebhookDelivery.id)
        )
        return {replayed.replay_of: replayed for replayed in found if replayed.replay_of is not None}

    async def send_again(
        self, replays: Sequence[Replay], *, event: str, exchange: str, content_type: str, trace: Mapping[str, str]
    ) -> None:
        """Put messages with the bodies of deliveries into the outbox."""
        await self._session.execute(
            _SEND,
            {
                "ids": [replay.replay_id for replay in replays],
                "original_ids": [replay.original_id for replay in replays],
                "dedupe_keys": [replay.dedupe_key for replay in replays],
                "event": event,
                "exchange": exchange,
                "content_type": content_type,
                "trace": json.dumps(trace),
            },
        )

    async def add(self, rows: Sequence[WebhookDelivery]) -> None:
        """Write new rows."""
        self._session.add_all(rows)
        await self._session.flush()

    async def note(self, outcomes: Sequence[DeliveryOutcome]) -> None:
        """Write what became of deliveries, each at most once, in the order of their ids.

        What is known already and true stays; what the log has not heard of yet gets a row.
        """
        await self._session.execute(
            _NOTE,
            {
                "organization_id": self._organization_id,
                "ids": [outcome.message_id for outcome in outcomes],
                "channel_ids": [outcome.channel_id for outcome in outcomes],
                "providers": [outcome.provider for outcome in outcomes],
                "topics": [outcome.topic for outcome in outcomes],
                "delivery_ids": [outcome.delivery_id for outcome in outcomes],
                "statuses": [outcome.status.value for outcome in outcomes],
                "causes": [outcome.cause for outcome in outcomes],
                "details": [outcome.detail for outcome in outcomes],
                "external_order_ids": [outcome.external_order_id for outcome in outcomes],
                "order_ids": [outcome.order_id for outcome in outcomes],
                "received": [outcome.received_at for outcome in outcomes],
                "settled": [outcome.settled_at for outcome in outcomes],
                "trace_ids": [outcome.trace_id for outcome in outcomes],
            },
        )


def _conditions(wanted: DeliveryFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.channel_id is not None:
        conditions.append(WebhookDelivery.channel_id == wanted.channel_id)
    if wanted.topic is not None:
        conditions.append(WebhookDelivery.topic == wanted.topic)
    if wanted.cause is not None:
        conditions.append(WebhookDelivery.cause == wanted.cause)
    if wanted.external_order_id is not None:
        conditions.append(WebhookDelivery.external_order_id == wanted.external_order_id)
    # Ids are ordered as arrivals are, so a time is a range of the index; the column says it to the moment.
    if wanted.since is not None:
        conditions += [
            WebhookDelivery.id >= first_id_at(wanted.since - ID_SLACK),
            WebhookDelivery.received_at >= wanted.since,
        ]
    if wanted.before is not None:
        conditions += [
            WebhookDelivery.id < first_id_at(wanted.before + ID_SLACK),
            WebhookDelivery.received_at < wanted.before,
        ]
    return conditions
