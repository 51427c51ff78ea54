"""HTTP bodies of reservations, and of how they are made."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field, model_validator
from rappit_common.pagination import DEFAULT_PAGE_ROWS, MAX_CURSOR_CHARACTERS, MAX_PAGE_ROWS

from rappit_inventory.domain.allocation import Strategy
from rappit_inventory.domain.demands import ORDINARY_PRIORITY
from rappit_inventory.messages import AllocatedLine, Reason, ShortLine
from rappit_inventory.schemas import Body, DemandLineRead, Quantity, Read, SkuCode, Text500, WarehouseCode
from rappit_inventory.schemas.documents import Code

MAX_PRIORITY = 1_000_000


class SettingsWrite(Body):
    """How orders are served."""

    allocation_strategy: Annotated[
        Strategy,
        Field(
            description=(
                "`priority`: one warehouse by priority, else few. `nearest`: those nearest to the order's address."
                " `fewest_parcels`: the fewest that together hold the order."
            )
        ),
    ] = Strategy.PRIORITY
    partial_reservations: Annotated[
        bool, Field(description="An order that cannot have all of its units holds those there are while it waits.")
    ] = False


class SettingsRead(SettingsWrite):
    """How orders are served, and who chose it so; nobody, where the defaults hold."""

    updated_by: str | None
    updated_at: datetime | None


class ReservationsAsked(BaseModel):
    """Which reservations are asked for."""

    status: Annotated[
        Literal["reserved", "backordered", "on_hold", "released"] | None, Field(description="Only these.")
    ] = None
    sku: Annotated[Code | None, Field(description="Only orders that hold this SKU or wait for it.")] = None
    warehouse_code: Annotated[Code | None, Field(description="Only orders that hold units there.")] = None
    waiting: Annotated[bool | None, Field(description="Only orders that wait, or only those that do not.")] = None
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE_ROWS)] = DEFAULT_PAGE_ROWS
    cursor: Annotated[str | None, Field(max_length=MAX_CURSOR_CHARACTERS)] = None


class ReservationHead(BaseModel):
    """What an order holds and waits for, in a list."""

    order_id: UUID
    order_version: int
    reservation_version: int
    status: str
    reason: Reason | None
    allocations: Annotated[list[AllocatedLine], Field(description="What lies reserved, by the catalogue's codes.")]
    shortages: list[ShortLine]
    priority: Annotated[int, Field(description="In the line of those who wait; the lowest is served first.")]
    waiting_since: datetime | None
    released_by: Annotated[str | None, Field(description="Who keeps it from holding anything.")]
    released_reason: str | None
    updated_at: datetime


class ReservationStepRead(Read):
    """What a person did with a reservation."""

    at: datetime
    actor: str
    action: Literal["prioritised", "released", "resumed", "moved"]
    reason: str | None
    detail: dict[str, Any]


class ReservationRead(BaseModel):
    """What an order needs, holds and waits for."""

    order_id: UUID
    order_version: int
    reservation_version: int
    status: str
    reason: Reason | None
    message: str | None
    lines: list[DemandLineRead]
    allocations: list[AllocatedLine]
    shortages: list[ShortLine]
    unknown_skus: list[str]
    priority: Annotated[int, Field(description="In the line of those who wait; the lowest is served first.")]
    waiting_since: datetime | None
    country_code: Annotated[str | None, Field(description="Where it goes, as far as allocation is concerned.")]
    postal_code: str | None
    released_by: Annotated[str | None, Field(description="Who keeps it from holding anything.")]
    released_reason: str | None
    steps: Annotated[list[ReservationStepRead], Field(description="What people did with it; the newest 100.")]


class PriorityWrite(Body):
    """Where in the line an order stands, before how long it waits."""

    priority: Annotated[
        int,
        Field(ge=0, le=MAX_PRIORITY, description=f"The lowest is served first; {ORDINARY_PRIORITY} is ordinary."),
    ]
    reason: Text500 | None = None


class ReservationRelease(Body):
    """Why an order is to hold nothing."""

    reason: Text500


class ReservationResume(Body):
    """Why an order may hold units again."""

    reason: Text500 | None = None


class ReservationMove(Body):
    """Units of an order that are to lie reserved in another warehouse."""

    sku: SkuCode
    from_warehouse_code: WarehouseCode
    to_warehouse_code: WarehouseCode
    quantity: Quantity
    reason: Text500 | None = None

    @model_validator(mode="after")
    def _two_warehouses(self) -> "ReservationMove":
        if self.from_warehouse_code.casefold() == self.to_warehouse_code.casefold():
            raise ValueError("from_warehouse_code and to_warehouse_code are one: nothing would move")
        return self
