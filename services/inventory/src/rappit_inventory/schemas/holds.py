"""HTTP bodies of holds."""

from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field, model_validator

from rappit_inventory.domain.holds import HoldKind, HoldState
from rappit_inventory.schemas import Body, Text500, WarehouseCode
from rappit_inventory.schemas.documents import QuantityLine

MAX_HOLD_LINES = 100
MIN_HOLD_S = 60
CART_HOLD_S = 900
MAX_CART_HOLD_S = 86_400
MAX_MANUAL_HOLD_S = 366 * 86_400

LastsS = Annotated[
    int | None,
    Field(
        ge=MIN_HOLD_S,
        le=MAX_MANUAL_HOLD_S,
        description=f"From now. A cart's lasts {CART_HOLD_S} s unless this says otherwise, and {MAX_CART_HOLD_S} s at "
        "most; a manual one lasts until it is released.",
    ),
]


def lasting(kind: HoldKind, expires_in_s: int | None) -> timedelta | None:
    """Return how long a hold of a kind lasts, None for until it is released.

    Raises:
        ValueError: A cart's would last too long.
    """
    if kind is HoldKind.MANUAL:
        return None if expires_in_s is None else timedelta(seconds=expires_in_s)
    if expires_in_s is not None and expires_in_s > MAX_CART_HOLD_S:
        raise ValueError(f"a cart's hold lasts {MAX_CART_HOLD_S} s at most")
    return timedelta(seconds=CART_HOLD_S if expires_in_s is None else expires_in_s)


class HoldCreate(Body):
    """Units to keep from everybody else, all of them or none."""

    kind: HoldKind
    lines: Annotated[list[QuantityLine], Field(min_length=1, max_length=MAX_HOLD_LINES)]
    warehouse_code: Annotated[
        WarehouseCode | None, Field(description="Where they must lie; else from where an order's would come.")
    ] = None
    expires_in_s: LastsS = None
    reason: Annotated[Text500 | None, Field(description="A manual hold needs one.")] = None

    @model_validator(mode="after")
    def _fits_its_kind(self) -> "HoldCreate":
        lasting(self.kind, self.expires_in_s)
        if self.kind is HoldKind.MANUAL and self.reason is None:
            raise ValueError("say in `reason` why these units are kept")
        return self


class HoldExtension(Body):
    """How much more time a hold is given."""

    expires_in_s: LastsS = None


class HoldConversion(Body):
    """The order that a hold's units are for."""

    order_id: UUID


class HoldLineRead(BaseModel):
    """Units that a hold took in one warehouse."""

    sku: str
    warehouse_code: str
    quantity: int


class HoldRead(BaseModel):
    """A hold. Its units are reserved while it is `active`, or `promised` to an order that is not known yet."""

    id: UUID
    kind: HoldKind
    state: HoldState
    lines: list[HoldLineRead]
    reason: str | None
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    ended_at: datetime | None
    order_id: UUID | None
