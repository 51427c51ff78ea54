"""HTTP bodies."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from rappit_inventory.domain.imports import ImportKind, ImportMode, ImportStatus
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


class ImportItems(BaseModel):
    """A JSON import; its rows are checked like those of a file, so that one bad row does not refuse the others."""

    items: list[dict[str, str | int | float | bool | None]]


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

    import_id: UUID
    total: Annotated[int, Field(description="Rows that were not blank.")]
    succeeded: Annotated[int, Field(description="Rows that are now true: created, updated and unchanged ones.")]
    failed: int
    created: Annotated[int, Field(description="Levels (of a catalogue: SKUs) that were not there before.")]
    updated: int
    unchanged: int
    created_skus: int
    applied: Annotated[bool, Field(description="False for a dry run, and when `on_error=reject_all` rejected.")]
    duration_ms: float
    errors: Annotated[list[ImportError_], Field(description="The first 1,000, by line; `failed` counts all.")]
    warnings: list[str]


class ImportJobRead(BaseModel):
    """Where an import stands. Counts are there once it has ended and was neither cancelled nor failed."""

    import_id: UUID
    kind: ImportKind
    status: ImportStatus
    mode: ImportMode
    on_error: Literal["apply_valid", "reject_all"]
    dry_run: bool
    create_missing_skus: bool
    is_job: Annotated[bool, Field(description="Whether a worker applies it, or the request that sent it did.")]
    file_name: str | None
    file_bytes: int
    actor: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    phase: Annotated[str, Field(description="`waiting`, `reading`, `checking`, `applying` or `done`.")]
    rows_read: int
    cancel_requested: bool
    total: int | None
    succeeded: int | None
    failed: int | None
    created: int | None
    updated: int | None
    unchanged: int | None
    created_skus: int | None
    applied: bool | None
    duration_ms: float | None
    warnings: list[str]
    error_code: str | None
    error_message: str | None
    has_file: Annotated[bool, Field(description="Whether its failed rows can still be downloaded.")]


class ImportJobDetail(ImportJobRead):
    """The same, with its failed rows."""

    errors: Annotated[list[ImportError_], Field(description="The first 1,000, by line; `failed` counts all.")]


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
