"""What orders hold and wait for, and what people do about it."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from rappit_common.pagination import InvalidCursorError, Page, decode_id_cursor
from rappit_common.web.auth import InvalidTokenError, MissingRoleError, Staff
from rappit_common.web.problems import errors

from rappit_inventory.domain.demands import DemandStatus, Shortage
from rappit_inventory.domain.errors import (
    InactiveWarehouseError,
    InsufficientStockError,
    NotHeldError,
    ReservationCompleteError,
    UnknownReservationError,
    UnknownSkuError,
    UnknownWarehouseError,
)
from rappit_inventory.endpoints.dependencies import Now, ReadUnit
from rappit_inventory.endpoints.paging import cut
from rappit_inventory.endpoints.repeatable import RepeatableWrite, repeatable
from rappit_inventory.messages import AllocatedLine, ShortLine
from rappit_inventory.models import DemandRow
from rappit_inventory.repository.reservations import ReservationFilter
from rappit_inventory.schemas import DemandLineRead
from rappit_inventory.schemas.reservations import (
    PriorityWrite,
    ReservationHead,
    ReservationMove,
    ReservationRead,
    ReservationRelease,
    ReservationResume,
    ReservationsAsked,
    ReservationStepRead,
)
from rappit_inventory.service import intervene
from rappit_inventory.service.announcements import allocations_of, reason_for, reason_of
from rappit_inventory.service.find_levels import find_levels
from rappit_inventory.service.intervene import Act, Move
from rappit_inventory.service.read_reservation import read_reservation
from rappit_inventory.unit import InventoryUnit

MAX_STEPS = 100

router = APIRouter(prefix="/reservations", tags=["reservations"], responses=errors(InvalidTokenError, MissingRoleError))


@router.get("", responses=errors(InvalidCursorError))
async def list_reservations(unit: ReadUnit, asked: Annotated[ReservationsAsked, Query()]) -> Page[ReservationHead]:
    """List reservations, newest orders first."""
    places = await find_levels(unit, sku=asked.sku, warehouse_code=asked.warehouse_code, text=None, low_only=False)
    if places is None:
        return Page(items=[])
    wanted = ReservationFilter(
        status=asked.status,
        sku_id=next(iter(places.sku_ids)) if places.sku_ids else None,
        warehouse_id=places.warehouse_id,
        waiting=asked.waiting,
    )
    after = decode_id_cursor(asked.cursor) if asked.cursor else None
    rows = await unit.reservations.page(wanted, limit=asked.limit + 1, after=after)
    more = cut(rows, asked.limit, lambda row: (str(row.order_id),))
    return Page(items=await _heads(unit, rows[: asked.limit]), next_cursor=more)


@router.get("/{order_id}", responses=errors(UnknownReservationError))
async def show_reservation(order_id: UUID, unit: ReadUnit) -> ReservationRead:
    """Show what an order needs, holds and waits for, and what people did with it."""
    return await _read(unit, order_id)


@router.post(
    "/{order_id}/priority",
    response_model=ReservationRead,
    responses=repeatable(ReservationRead, UnknownReservationError, creates=False),
)
async def set_priority(
    order_id: UUID, body: PriorityWrite, write: RepeatableWrite, principal: Staff, now: Now
) -> Response:
    """Put an order ahead of others in the line of those who wait, or behind them. What orders hold stays theirs."""

    async def act() -> ReservationRead:
        why = Act(principal.label, body.reason)
        await intervene.set_priority(write.unit, order_id, body.priority, why, now=now)
        return await _read(write.unit, order_id)

    return await write.once(act)


@router.post(
    "/{order_id}/release",
    response_model=ReservationRead,
    responses=repeatable(ReservationRead, UnknownReservationError, ReservationCompleteError, creates=False),
)
async def release_reservation(
    order_id: UUID, body: ReservationRelease, write: RepeatableWrite, principal: Staff, now: Now
) -> Response:
    """Take an order's units away: it waits until it is resumed, or asks for something else.

    A second time nothing happens. A parcel whose label is bought at this moment leaves all the same.
    """

    async def act() -> ReservationRead:
        await intervene.release_reservation(write.unit, order_id, Act(principal.label, body.reason), now=now)
        return await _read(write.unit, order_id)

    return await write.once(act)


@router.post(
    "/{order_id}/resume",
    response_model=ReservationRead,
    responses=repeatable(ReservationRead, UnknownReservationError, creates=False),
)
async def resume_reservation(
    order_id: UUID, body: ReservationResume, write: RepeatableWrite, principal: Staff, now: Now
) -> Response:
    """Let a released order hold units again, at the place in line that it has kept. A second time nothing happens."""

    async def act() -> ReservationRead:
        await intervene.resume_reservation(write.unit, order_id, Act(principal.label, body.reason), now=now)
        return await _read(write.unit, order_id)

    return await write.once(act)


@router.post(
    "/{order_id}/move",
    response_model=ReservationRead,
    responses=repeatable(
        ReservationRead,
        UnknownReservationError,
        UnknownSkuError,
        UnknownWarehouseError,
        InactiveWarehouseError,
        NotHeldError,
        InsufficientStockError,
        creates=False,
    ),
)
async def move_reservation(
    order_id: UUID, body: ReservationMove, write: RepeatableWrite, principal: Staff, now: Now
) -> Response:
    """Have units of an order lie reserved in another warehouse that has them free."""
    move = Move(body.sku, body.from_warehouse_code, body.to_warehouse_code, body.quantity)

    async def act() -> ReservationRead:
        await intervene.move_reservation(write.unit, order_id, move, Act(principal.label, body.reason), now=now)
        return await _read(write.unit, order_id)

    return await write.once(act)


async def _heads(unit: InventoryUnit, rows: Sequence[DemandRow]) -> list[ReservationHead]:
    held: dict[UUID, list[AllocatedLine]] = defaultdict(list)
    for units in await unit.reservations.held(row.order_id for row in rows):
        line = AllocatedLine(sku=units.sku, warehouse_code=units.warehouse_code, quantity=units.quantity)
        held[units.order_id].append(line)
    return [
        ReservationHead(
            order_id=row.order_id,
            order_version=row.order_version,
            reservation_version=row.reservation_version,
            status=row.status,
            reason=reason_for(DemandStatus(row.status), is_set_aside=row.released_by is not None),
            allocations=held[row.order_id],
            shortages=_short([Shortage(**shortage) for shortage in row.shortages]),
            priority=row.priority,
            waiting_since=row.waiting_since,
            released_by=row.released_by,
            released_reason=row.released_reason,
            updated_at=row.updated_at,
        )
        for row in rows
    ]


def _short(shortages: Sequence[Shortage]) -> list[ShortLine]:
    return [ShortLine(sku=x.sku_code, requested=x.requested, available=x.available) for x in shortages]


async def _read(unit: InventoryUnit, order_id: UUID) -> ReservationRead:
    demand, shelves = await read_reservation(unit, order_id)
    goes_to, release = demand.destination, demand.force_release
    steps = await unit.reservations.steps(order_id, limit=MAX_STEPS)
    return ReservationRead(
        order_id=demand.order_id,
        order_version=demand.order_version,
        reservation_version=demand.reservation_version,
        status=demand.status.value,
        reason=reason_of(demand),
        message=demand.message(),
        lines=[DemandLineRead(sku=line.sku_code, quantity=line.quantity) for line in demand.lines],
        allocations=allocations_of(demand, shelves),
        shortages=_short(demand.shortages),
        unknown_skus=demand.unknown_skus,
        priority=demand.priority,
        waiting_since=demand.waiting_since,
        country_code=goes_to.country_code if goes_to else None,
        postal_code=goes_to.postal_code if goes_to else None,
        released_by=release.actor if release else None,
        released_reason=release.reason if release else None,
        steps=[ReservationStepRead.model_validate(step) for step in steps],
    )
