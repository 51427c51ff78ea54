"""Shipments and their labels."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Query, Response
from rappit_common.pagination import (
    DEFAULT_PAGE_ROWS,
    InvalidCursorError,
    Page,
    PageCursor,
    PageLimit,
    decode_id_cursor,
    encode_cursor,
)
from rappit_common.web.auth import InvalidTokenError, MissingRoleError, Staff, tenant_of
from rappit_common.web.problems import errors

from rappit_shipping.carriers.breaker import CarrierUnavailableError
from rappit_shipping.carriers.guarded import CarrierBusyError
from rappit_shipping.domain.carrier import UnshippableError
from rappit_shipping.domain.shipments import (
    AccountNotFoundError,
    AlreadyLabelledError,
    CarrierRefusedError,
    IdempotencyConflictError,
    IllegalTransitionError,
    LabelMissingError,
    OrderNotShippableError,
    OrderUnknownError,
    OutcomeTimeoutError,
    OutcomeUnknownError,
    ShipmentNotFoundError,
    ShipmentStatus,
    VoidRefusedError,
    VoidUnsupportedError,
)
from rappit_shipping.endpoints.dependencies import Now, Tasks, TheDesk, Unit
from rappit_shipping.flows.purchase import buy_label
from rappit_shipping.flows.void import void_shipment
from rappit_shipping.models import Shipment
from rappit_shipping.schemas import SettleBody, ShipmentCreate, ShipmentRead
from rappit_shipping.service import voids
from rappit_shipping.unit import ShippingUnit

router = APIRouter(
    prefix="/shipping/shipments", tags=["shipments"], responses=errors(InvalidTokenError, MissingRoleError)
)

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="A key of the caller's choice: repeating it returns the first request's shipment and buys nothing.",
    ),
]
_CARRIER_AWAY = (CarrierUnavailableError, CarrierBusyError, OutcomeUnknownError, OutcomeTimeoutError)


async def _told(unit: ShippingUnit, shipments: list[Shipment]) -> list[ShipmentRead]:
    labelled = await unit.shipments.with_labels([shipment.id for shipment in shipments])
    return [ShipmentRead.of(shipment, label_available=shipment.id in labelled) for shipment in shipments]


@router.post(
    "",
    status_code=201,
    responses={
        200: {"model": ShipmentRead, "description": "This Idempotency-Key's first shipment"},
        202: {"model": ShipmentRead, "description": "This Idempotency-Key's first request is still at the carrier"},
        **errors(
            CarrierRefusedError,
            UnshippableError,
            AccountNotFoundError,
            OrderNotShippableError,
            OrderUnknownError,
            AlreadyLabelledError,
            IdempotencyConflictError,
            *_CARRIER_AWAY,
        ),
    },
)
async def buy_shipment(
    body: ShipmentCreate,
    staff: Staff,
    desk: TheDesk,
    tasks: Tasks,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> ShipmentRead:
    """Buy a label for an order."""
    organization_id = tenant_of(staff)
    shipment, is_new = await buy_label(desk, tasks, organization_id, body.to_command(idempotency_key, staff.label))
    if not is_new:
        response.headers["Idempotent-Replayed"] = "true"
        response.status_code = 202 if shipment.status is ShipmentStatus.PURCHASING else 200
    async with desk.units.begin(organization_id) as unit:
        [told] = await _told(unit, [shipment])
    return told


@router.get("", responses=errors(InvalidCursorError))
async def list_shipments(
    unit: Unit,
    order_id: UUID | None = None,
    status: Annotated[ShipmentStatus | None, Query()] = None,
    limit: PageLimit = DEFAULT_PAGE_ROWS,
    cursor: PageCursor = None,
) -> Page[ShipmentRead]:
    """List shipments, newest first."""
    after = decode_id_cursor(cursor) if cursor else None
    found = await unit.shipments.page(limit + 1, after, order_id=order_id, status=status)
    more = encode_cursor(str(found[limit - 1].id)) if len(found) > limit else None
    return Page(items=await _told(unit, found[:limit]), next_cursor=more)


@router.get("/{shipment_id}", responses=errors(ShipmentNotFoundError))
async def read_shipment(shipment_id: UUID, unit: Unit) -> ShipmentRead:
    """Tell how a shipment stands."""
    [told] = await _told(unit, [await unit.shipments.find(shipment_id)])
    return told


@router.get(
    "/{shipment_id}/label",
    response_class=Response,
    responses={
        200: {"content": {"application/pdf": {}, "text/x-zpl": {}}, "description": "The label, the same every time"},
        **errors(ShipmentNotFoundError, LabelMissingError),
    },
)
async def print_label(shipment_id: UUID, unit: Unit) -> Response:
    """Print a label, as often as needed."""
    shipment = await unit.shipments.find(shipment_id)
    label = await unit.shipments.find_label(shipment_id)
    if label is None:
        reason = shipment.problem or f"The shipment is {shipment.status.value.replace('_', ' ')} and has no label."
        raise LabelMissingError(reason, shipment_status=shipment.status.value)
    ending = "pdf" if label.media_type == "application/pdf" else "zpl"
    name = f"{shipment.carrier}-{shipment.tracking_number}.{ending}"
    headers = {"content-disposition": f'inline; filename="{name}"', "cache-control": "private, no-store"}
    return Response(label.content, media_type=label.media_type, headers=headers)


@router.post(
    "/{shipment_id}/void",
    responses=errors(
        ShipmentNotFoundError, VoidRefusedError, VoidUnsupportedError, IllegalTransitionError, *_CARRIER_AWAY
    ),
)
async def void(shipment_id: UUID, staff: Staff, desk: TheDesk, tasks: Tasks) -> ShipmentRead:
    """Give a label back; repeating it for a voided shipment answers with that."""
    shipment = await void_shipment(desk, tasks, tenant_of(staff), shipment_id)
    async with desk.units.begin(tenant_of(staff)) as unit:
        [told] = await _told(unit, [shipment])
    return told


@router.post("/{shipment_id}/settle", responses=errors(ShipmentNotFoundError, IllegalTransitionError))
async def settle(shipment_id: UUID, body: SettleBody, staff: Staff, unit: Unit, now: Now) -> ShipmentRead:
    """Say what became of a purchase or a void that the carrier cannot tell; kept in the audit log."""
    shipment = await voids.settle(unit, body.to_command(shipment_id, staff.label), now=now)
    [told] = await _told(unit, [shipment])
    return told
