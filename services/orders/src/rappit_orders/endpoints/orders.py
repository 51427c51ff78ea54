"""``/orders``."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from rappit_common.idempotency import IdempotencyKey, IdempotencyKeyReusedError
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

from rappit_orders.domain.channels.fields import InvalidDeliveryError, UnreadableBodyError
from rappit_orders.domain.commands import CancelOrder
from rappit_orders.domain.lifecycle import OrderState
from rappit_orders.domain.order import LabelledOrderError
from rappit_orders.endpoints.dependencies import Now, Unit
from rappit_orders.endpoints.placement import DESCRIBED_BODY, AskedPlacement
from rappit_orders.repository.orders import OrderFilter, OrderNotFoundError
from rappit_orders.schemas import CancelRequest, OrderListed, OrderRead
from rappit_orders.service import desk, placing
from rappit_orders.service.placing import OrderExistsError

router = APIRouter(prefix="/orders", tags=["orders"], responses=errors(InvalidTokenError, MissingRoleError))


@router.get("", responses=errors(InvalidCursorError))
async def list_orders(
    unit: Unit,
    state: Annotated[OrderState | None, Query(description="Only orders in this state.")] = None,
    channel_id: Annotated[UUID | None, Query(description="Only orders of this channel.")] = None,
    external_order_id: Annotated[
        str | None, Query(max_length=255, description="Only what a channel calls by exactly this id.")
    ] = None,
    limit: PageLimit = DEFAULT_PAGE_ROWS,
    cursor: PageCursor = None,
) -> Page[OrderListed]:
    """List orders, the newest first. Orders that arrive meanwhile shift no page."""
    wanted = OrderFilter(state, channel_id, external_order_id)
    found = await desk.list_orders(
        unit, wanted, before_id=decode_id_cursor(cursor) if cursor else None, limit=limit + 1
    )
    items = [OrderListed.of_summary(summary) for summary in found[:limit]]
    return Page(items=items, next_cursor=encode_cursor(str(items[-1].id)) if len(found) > limit else None)


@router.post(
    "",
    status_code=201,
    response_model=OrderRead,
    responses={
        200: {"model": OrderRead, "description": "The key was answered before: the same answer, and nothing was done."},
        **errors(UnreadableBodyError, InvalidDeliveryError, IdempotencyKeyReusedError, OrderExistsError),
    },
    openapi_extra=DESCRIBED_BODY,
)
async def place_order(
    principal: Staff, placement: AskedPlacement, idempotency_key: IdempotencyKey, unit: Unit, now: Now
) -> Response:
    """Place, change or cancel an order that comes through no channel; it is then reserved and shipped like any other.

    The body is a message of the Rappit order schema, whole each time. Repeated with its key, it is answered as it was.
    """

    async def place() -> str:
        story = await placing.place_order(
            unit, placement.command, actor=principal.label, idempotency_key=idempotency_key, now=now
        )
        return OrderRead.of_story(story).model_dump_json()

    answer = await unit.idempotency.once("POST /orders", idempotency_key, placement.body, place)
    return Response(answer.text, 201 if answer.is_first else 200, media_type="application/json")


@router.get("/{order_id}", responses=errors(OrderNotFoundError))
async def get_order(order_id: UUID, unit: Unit) -> OrderRead:
    """Return an order whole: lines, stock, parcels, and what happened to it."""
    return OrderRead.of_story(await desk.tell_story(unit, order_id))


@router.post("/{order_id}/cancel", responses=errors(OrderNotFoundError, LabelledOrderError))
async def cancel_order(order_id: UUID, body: CancelRequest, unit: Unit, principal: Staff, now: Now) -> OrderRead:
    """Cancel an order and release its stock; a bought label must be voided first. Repeating it changes nothing."""
    command = CancelOrder(order_id, body.reason)
    return OrderRead.of_story(await desk.cancel_order(unit, command, actor=principal.label, now=now))
