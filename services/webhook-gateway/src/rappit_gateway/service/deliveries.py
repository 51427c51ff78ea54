"""Use cases of the delivery log: search it, show a delivery, run deliveries again, note what became of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from rappit_common.clock import new_id
from rappit_common.messaging.events import EVENTS_EXCHANGE
from rappit_common.tracing import TRACEPARENT, current_trace_id, current_traceparent

from rappit_gateway.domain.deliveries import (
    BodyGoneError,
    DeliveryNotFoundError,
    DeliveryOutcome,
    DeliveryStatus,
    EmptyFilterError,
    RejectedDeliveryError,
    replay_key,
    true_outcomes,
)
from rappit_gateway.messages import RAW_CONTENT_TYPE, WEBHOOK_RECEIVED
from rappit_gateway.models import WebhookBody, WebhookDelivery
from rappit_gateway.repository.deliveries import DeliveryFilter, Replay
from rappit_gateway.unit import GatewayUnit

MAX_REPLAYS = 1_000
MAX_REPLAY_BYTES = 64 * 1024 * 1024
# A replay without an outcome after this long has lost it, or waits for orders to be deployed: it may be asked for anew,
# which doubles nothing.
UNDER_WAY = timedelta(minutes=10)
_REJECTED = (
    "A rejected delivery cannot run again: nobody knows that the channel sent it, and its body was not kept. Mend the"
    " cause, and let the channel send it again."
)


@dataclass(frozen=True, slots=True)
class ReplaySet:
    """How a filtered set is to run again.

    Attributes:
        before_id: Begin after this delivery: the last one that the call before looked at.
        dry_run: Only say what would run.
        reason: For the audit log.
    """

    before_id: UUID | None
    dry_run: bool
    reason: str


@dataclass(frozen=True, slots=True)
class ReplayedSet:
    """What became of the wish to run a filtered set again.

    Attributes:
        matched: Deliveries that were looked at in this call.
        replayed: Of those, run again (or to be, in a dry run).
        under_way: Whose replay has no outcome yet: not sent a second time.
        without_body: Whose body is not kept.
        last_id: Of the last one looked at.
        more: Whether older ones match too, for a further call.
    """

    matched: int
    replayed: int
    under_way: int
    without_body: int
    last_id: UUID | None
    more: bool


async def list_deliveries(
    unit: GatewayUnit, wanted: DeliveryFilter, *, rows: int, before_id: UUID | None
) -> Sequence[WebhookDelivery]:
    """Return deliveries, newest first."""
    return await unit.deliveries.page(wanted, before_id=before_id, rows=rows)


async def show_delivery(unit: GatewayUnit, delivery_id: UUID) -> tuple[WebhookDelivery, WebhookBody | None]:
    """Return a delivery and what it said, as long as that is kept.

    Raises:
        DeliveryNotFoundError: This organization's log has no such delivery.
    """
    delivery = await _find(unit, delivery_id)
    return delivery, await unit.deliveries.body_of(delivery)


async def note_outcomes(unit: GatewayUnit, outcomes: Sequence[DeliveryOutcome]) -> None:
    """Write what became of deliveries; repeats and any order of arrival end in the same place."""
    await unit.deliveries.note(true_outcomes(outcomes))


async def replay_delivery(
    unit: GatewayUnit, delivery_id: UUID, *, now: datetime, actor: str, reason: str
) -> WebhookDelivery:
    """Let orders evaluate a delivery anew; of a replay, the delivery that it repeats.

    It carries the time at which it was first received, so an order that has heard of something newer stays as it is.

    Returns:
        The replay's own delivery, or the one that is under way already.

    Raises:
        DeliveryNotFoundError: This organization's log has no such delivery.
        RejectedDeliveryError: It was rejected.
        BodyGoneError: Its body is not kept.
    """
    asked = await _find(unit, delivery_id)
    if asked.status == DeliveryStatus.REJECTED.value:
        raise RejectedDeliveryError(_REJECTED, id=str(delivery_id))
    original_id = asked.replay_of or asked.id
    started, under_way, _ = await _replay(unit, [original_id], now=now)
    if under_way:
        return under_way[original_id]
    if not started:
        raise BodyGoneError(
            "What this delivery said is not kept any more: bodies are removed after some days, and one is missing"
            " where the gateway died just after it accepted the webhook. Let the channel send it again.",
            id=str(delivery_id),
        )
    await unit.audit(
        actor,
        "delivery.replay",
        reason,
        organization_id=unit.organization_id,
        delivery_id=str(original_id),
        replay_id=str(started[0].id),
    )
    return started[0]


async def replay_deliveries(
    unit: GatewayUnit, wanted: DeliveryFilter, act: ReplaySet, *, now: datetime, actor: str
) -> ReplayedSet:
    """Let orders evaluate a filtered set anew, newest first, a bounded number in one call; replays are no part of it.

    Raises:
        EmptyFilterError: The filter names nothing.
        RejectedDeliveryError: The filter asks for rejected ones.
    """
    if wanted.is_empty:
        raise EmptyFilterError(
            "Name what is to run again: a channel, topic, status, cause, order or time. An empty filter would be every"
            " delivery there is."
        )
    if DeliveryStatus.REJECTED in wanted.statuses:
        raise RejectedDeliveryError(_REJECTED)
    found = await unit.deliveries.originals(wanted, before_id=act.before_id, rows=MAX_REPLAYS + 1)
    chosen = _bounded(found[:MAX_REPLAYS])
    ids = [delivery.id for delivery in chosen]
    started, under_way, without_body = await _replay(unit, ids, now=now, dry_run=act.dry_run)
    if started and not act.dry_run:
        await unit.audit(
            actor,
            "delivery.replay_set",
            act.reason,
            organization_id=unit.organization_id,
            replayed=len(started),
            newest_id=str(ids[0]),
            oldest_id=str(ids[-1]),
            filter={name: str(value) for name, value in _named(wanted).items()},
        )
    return ReplayedSet(
        matched=len(ids),
        replayed=len(started),
        under_way=len(under_way),
        without_body=without_body,
        last_id=ids[-1] if ids else None,
        more=len(found) > len(chosen),
    )


def _named(wanted: DeliveryFilter) -> dict[str, object]:
    values = {name: getattr(wanted, name) for name in DeliveryFilter.__slots__}
    return {name: value for name, value in values.items() if value not in (None, ())}


def _bounded(found: Sequence[WebhookDelivery]) -> Sequence[WebhookDelivery]:
    """Return as many as one transaction may copy the bodies of, one at least."""
    size = 0
    for position, delivery in enumerate(found):
        size += delivery.body_bytes or 0
        if size > MAX_REPLAY_BYTES and position:
            return found[:position]
    return found


async def _replay(
    unit: GatewayUnit, original_ids: Sequence[UUID], *, now: datetime, dry_run: bool = False
) -> tuple[list[WebhookDelivery], dict[UUID, WebhookDelivery], int]:
    """Return the replays begun, those that are under way already by their originals, and how many have no body."""
    # Locked before it is asked what is under way: of two at once, the second must see what the first began.
    originals = await unit.deliveries.lock(original_ids)
    under_way = await unit.deliveries.under_way(original_ids, since=now - UNDER_WAY)
    kept = await unit.deliveries.with_body(original_ids)
    chosen = [
        (Replay(replay_id, original.id, replay_key(original.dedupe_key, replay_id)), original)
        for original in originals
        if original.id in kept and original.id not in under_way and original.dedupe_key is not None
        for replay_id in (new_id(),)
    ]
    rows = [_row_of(replay, original, now) for replay, original in chosen]
    without_body = len(original_ids) - len(rows) - len(under_way)
    if rows and not dry_run:
        await unit.deliveries.add(rows)
        traceparent = current_traceparent()
        await unit.deliveries.send_again(
            [replay for replay, _ in chosen],
            event=WEBHOOK_RECEIVED,
            exchange=EVENTS_EXCHANGE,
            content_type=RAW_CONTENT_TYPE,
            trace={TRACEPARENT: traceparent} if traceparent else {},
        )
    return rows, under_way, without_body


def _row_of(replay: Replay, original: WebhookDelivery, now: datetime) -> WebhookDelivery:
    return WebhookDelivery(
        id=replay.replay_id,
        organization_id=original.organization_id,
        channel_id=original.channel_id,
        provider=original.provider,
        topic=original.topic,
        delivery_id=original.delivery_id,
        dedupe_key=replay.dedupe_key,
        source=original.source,
        status=DeliveryStatus.ACCEPTED.value,
        external_order_id=original.external_order_id,
        received_at=now,
        body_bytes=original.body_bytes,
        spooled=True,
        trace_id=current_trace_id() or original.trace_id,
        left_out=0,
        replay_of=original.id,
    )


async def _find(unit: GatewayUnit, delivery_id: UUID) -> WebhookDelivery:
    delivery = await unit.deliveries.find(delivery_id)
    if delivery is None:
        raise DeliveryNotFoundError("Your log has no such delivery.", id=str(delivery_id))
    return delivery
