"""HTTP bodies."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from rappit_inventory.domain.stock import MAX_QUANTITY
from rappit_inventory.messages import AllocatedLine, Reason, ShortLine

MAX_SKUS_AT_ONCE = 5_000
_PRINTABLE = r"^[^\x00-\x1f\x7f]+$"

SkuCode = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=_PRINTABLE),
    Field(examples=["TEE-M"]),
]
WarehouseCode = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=50, pattern=_PRINTABLE),
    Field(examples=["BER"]),
]
Text500 = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500, pattern=_PRINTABLE)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Read(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class WarehouseCreate(_Body):
    """A warehouse to add; the lowest priority ships first."""

    code: WarehouseCode
    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=_PRINTABLE)]
    priority: Annotated[int, Field(ge=0, le=1_000_000)] = 100
    country_code: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")] | None = None


class WarehouseRead(_Read):
    """A warehouse."""

    id: UUID
    code: str
    name: str
    priority: int
    country_code: str | None
    created_at: datetime


class SkuCreate(_Body):
    """A SKU to add."""

    sku: SkuCode
    name: Text500
    barcode: Annotated[str, StringConstraints(max_length=50, pattern=_PRINTABLE)] | None = None


class SkuRead(BaseModel):
    """A SKU."""

    id: UUID
    sku: str
    name: str
    barcode: str | None
    created_at: datetime


class SkusCreate(_Body):
    """Many SKUs to add; those whose codes are taken are left as they are."""

    items: Annotated[list[SkuCreate], Field(min_length=1, max_length=MAX_SKUS_AT_ONCE)]


class SkusCreated(BaseModel):
    """How many SKUs were added, and how many existed (or stood twice in the request)."""

    total: int
    created: int
    existing: int


class LevelRead(BaseModel):
    """What lies of a SKU in a warehouse; units."""

    sku: str
    warehouse_code: str
    quantity_total: int
    quantity_reserved: int
    quantity_available: int


class AdjustmentCreate(_Body):
    """Units to add to a level, or with a negative delta to remove from it."""

    sku: SkuCode
    warehouse_code: WarehouseCode
    delta: Annotated[int, Field(ge=-MAX_QUANTITY, le=MAX_QUANTITY)]
    reason: Text500

    @field_validator("delta")
    @classmethod
    def not_zero(cls, delta: int) -> int:
        """Refuse an adjustment that adjusts nothing."""
        if delta == 0:
            raise ValueError("a delta of 0 changes nothing")
        return delta


class StockItem(BaseModel):
    """A row of a JSON import; checked like a row of a file, so that one bad row does not refuse the others."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    sku: str | int | float | bool | None = None
    quantity: str | int | float | bool | None = None
    warehouse_code: str | int | float | bool | None = None


class StockItems(BaseModel):
    """A JSON import."""

    items: list[StockItem]


class ImportError_(BaseModel):  # noqa: N801 - ImportError is Python's own
    """Why a row was not applied."""

    model_config = ConfigDict(from_attributes=True, title="ImportError")

    line: int
    field: str
    code: str
    message: str
    value: str


class ImportRead(BaseModel):
    """What became of an import; of a dry run, what would have."""

    total: Annotated[int, Field(description="Rows that were not blank.")]
    succeeded: Annotated[int, Field(description="Rows that are now true: updated and unchanged ones.")]
    failed: int
    updated: int
    unchanged: int
    applied: Annotated[bool, Field(description="False for a dry run, and when `on_error=reject_all` rejected.")]
    duration_ms: float
    errors: Annotated[list[ImportError_], Field(description="The first 1,000, by line; `failed` counts all.")]
    warnings: list[str]


class DemandLineRead(BaseModel):
    """Units of a SKU that the order needs."""

    sku: str
    quantity: int


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
    waiting_since: datetime | None
