"""The merchant's log of deliveries."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime
from rappit_common.pagination import (
    DEFAULT_PAGE_ROWS,
    InvalidCursorError,
    Page,
    PageCursor,
    PageLimit,
    decode_id_cursor,
    encode_cursor,
)
from rappit_common.web.auth import InvalidTokenError, MissingRoleError, Staff
from rappit_common.web.problems import errors

from rappit_gateway.domain.deliveries import (
    BodyGoneError,
    DeliveryNotFoundError,
    DeliveryStatus,
    EmptyFilterError,
    RejectedDeliveryError,
)
from rappit_gateway.endpoints.dependencies import Now, ReadingUnit, WritingUnit
from rappit_gateway.repository.deliveries import DeliveryFilter
from rappit_gateway.schemas import DeliveryDetail, DeliveryRead, DeliveryReplay, DeliverySetReplay, DeliverySetReplayed
from rappit_gateway.service import deliveries as service

router = APIRouter(
    prefix="/channels/deliveries", tags=["deliveries"], responses=errors(InvalidTokenError, MissingRoleError)
)


def _wanted(
    channel_id: Annotated[UUID | None, Query(description="Only of this channel.")] = None,
    topic: Annotated[str | None, Query(max_length=255, description="Only with exactly this topic.")] = None,
    status: Annotated[
        list[DeliveryStatus] | None,
        Query(max_length=len(DeliveryStatus), description="Only with one of these; repeat it for several."),
    ] = None,
    cause: Annotated[str | None, Query(max_length=300, description="Only rejected or dead-lettered for this.")] = None,
    external_order_id: Annotated[
        str | None, Query(max_length=255, description="Only of the order that a channel calls by exactly this id.")
    ] = None,
    since: Annotated[AwareDatetime | None, Query(description="Only received at this time or later.")] = None,
    before: Annotated[AwareDatetime | None, Query(description="Only received earlier.")] = None,
) -> DeliveryFilter:
    statuses = tuple(dict.fromkeys(status or ()))
    return DeliveryFilter(channel_id, topic, statuses, cause, external_order_id, since, before)


@router.get("", responses=errors(InvalidCursorError))
async def list_deliveries(
    unit: ReadingUnit,
    wanted: Annotated[DeliveryFilter, Depends(_wanted)],
    limit: PageLimit = DEFAULT_PAGE_ROWS,
    cursor: PageCursor = None,
) -> Page[DeliveryRead]:
    """List what reached your channels, newest first, and what became of it."""
    before_id = decode_id_cursor(cursor) if cursor else None
    found = await service.list_deliveries(unit, wanted, rows=limit + 1, before_id=before_id)
    following = encode_cursor(str(found[limit - 1].id)) if len(found) > limit else None
    return Page(items=[DeliveryRead.model_validate(row) for row in found[:limit]], next_cursor=following)


@router.get("/{delivery_id}", responses=errors(DeliveryNotFoundError))
async def show_delivery(delivery_id: UUID, unit: ReadingUnit) -> DeliveryDetail:
    """Show one delivery whole: its headers and its body, as long as they are kept."""
    return DeliveryDetail.of(*await service.show_delivery(unit, delivery_id))


@router.post(
    "/{delivery_id}/replay",
    status_code=202,
    responses=errors(DeliveryNotFoundError, RejectedDeliveryError, BodyGoneError),
)
async def replay_delivery(
    delivery_id: UUID, unit: WritingUnit, principal: Staff, now: Now, how: DeliveryReplay | None = None
) -> DeliveryRead:
    """Let a delivery be evaluated anew, and return its replay. Nothing doubles; twice at once replays once."""
    how = how or DeliveryReplay()
    replayed = await service.replay_delivery(unit, delivery_id, now=now, actor=principal.label, reason=how.reason)
    return DeliveryRead.model_validate(replayed)


@router.post("/replays", status_code=202, responses=errors(EmptyFilterError, RejectedDeliveryError, InvalidCursorError))
async def replay_deliveries(
    body: DeliverySetReplay, unit: WritingUnit, principal: Staff, now: Now
) -> DeliverySetReplayed:
    """Let a filtered set be evaluated anew, or say in a dry run how many there are; rejected deliveries cannot be."""
    act = service.ReplaySet(decode_id_cursor(body.cursor) if body.cursor else None, body.dry_run, body.reason)
    done = await service.replay_deliveries(unit, body.filter.to_filter(), act, now=now, actor=principal.label)
    return DeliverySetReplayed(
        dry_run=body.dry_run,
        matched=done.matched,
        replayed=done.replayed,
        under_way=done.under_way,
        without_body=done.without_body,
        more=done.more,
        next_cursor=encode_cursor(str(done.last_id)) if done.more else None,
    )
