"""HTTP bodies."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from rappit_inventory.domain.imports import ImportKind, ImportMode, ImportStatus
from rappit_inventory.domain.stock import MAX_QUANTITY
from rappit_inventory.service.adjust import AdjustmentReason

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
Text200 = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=_PRINTABLE)]
CountryCode = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
Millimetres = Annotated[int, Field(ge=0, le=100_000)]
Quantity = Annotated[int, Field(gt=0, le=MAX_QUANTITY)]


class Body(BaseModel):
    """A request's body: what it does not know it refuses."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Read(BaseModel):
    """A response's body, read off an object."""

    model_config = ConfigDict(from_attributes=True)


class Address(Body):
    """Where a warehouse is."""

    name: Text200 | None = None
    company: Text200 | None = None
    line1: Text200
    line2: Text200 | None = None
    city: Text200
    region: Text200 | None = None
    postal_code: Annotated[str, StringConstraints(strip_whitespace=True, max_length=20, pattern=_PRINTABLE)] | None = (
        None
    )
    country_code: CountryCode
    phone: Annotated[str, StringConstraints(strip_whitespace=True, max_length=50, pattern=_PRINTABLE)] | None = None


class WarehouseFacts(Body):
    """What is told of a warehouse besides its name."""

    priority: Annotated[int, Field(ge=0, le=1_000_000)] = 100
    country_code: CountryCode | None = None
    address: Address | None = None
    active: Annotated[bool, Field(description="Nothing is promised from a warehouse that is not.")] = True


class WarehouseCreate(WarehouseFacts):
    """A warehouse to add; the lowest priority ships first."""

    code: WarehouseCode
    name: Text200


class WarehouseChange(WarehouseFacts):
    """What is to be changed of a warehouse; what is left out stays."""

    name: Text200 = ""


class WarehouseRead(Read):
    """A warehouse."""

    id: UUID
    code: str
    name: str
    priority: int
    country_code: str | None
    address: Address | None
    active: bool
    created_at: datetime


class SkuFacts(Body):
    """What is told of a SKU besides its name."""

    barcode: Annotated[str, StringConstraints(max_length=50, pattern=_PRINTABLE)] | None = None
    product: Annotated[Text200 | None, Field(description="Groups the variants of one thing.")] = None
    options: Annotated[
        dict[Annotated[str, StringConstraints(min_length=1, max_length=50, pattern=_PRINTABLE)], Text200] | None,
        Field(max_length=20, examples=[{"size": "M"}], description="Tells the variants of a product apart."),
    ] = None
    weight_g: Annotated[int, Field(ge=0, le=10_000_000)] | None = None
    length_mm: Millimetres | None = None
    width_mm: Millimetres | None = None
    height_mm: Millimetres | None = None
    hs_code: Annotated[str, StringConstraints(pattern=r"^[0-9]{4,12}$")] | None = None
    country_of_origin: CountryCode | None = None
    customs_description: Text200 | None = None
    active: Annotated[bool, Field(description="A SKU that is not is promised to no new order.")] = True


class SkuCreate(SkuFacts):
    """A SKU to add."""

    sku: SkuCode
    name: Text500


class SkuChange(SkuFacts):
    """What is to be changed of a SKU; what is left out stays."""

    name: Text500 = ""


class SkuRead(BaseModel):
    """A SKU."""

    id: UUID
    sku: str
    name: str
    barcode: str | None
    product: str | None
    options: dict[str, str] | None
    weight_g: int | None
    length_mm: int | None
    width_mm: int | None
    height_mm: int | None
    hs_code: str | None
    country_of_origin: str | None
    customs_description: str | None
    active: bool
    created_at: datetime


class SkusCreate(Body):
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
    quantity_unavailable: Annotated[int, Field(description="Damaged and quarantined.")]
    quantity_damaged: int
    quantity_quarantined: int


class ListedLevel(LevelRead):
    """A level, what is on its way to it, and what is set for it."""

    quantity_in_transit: int
    reorder_point: int | None
    safety_stock: int
    is_low: Annotated[bool, Field(description="Available is at or below the reorder point.")]


class AdjustmentCreate(Body):
    """Units to add to a level, or with a negative delta to remove from it."""

    sku: SkuCode
    warehouse_code: WarehouseCode
    delta: Annotated[int, Field(ge=-MAX_QUANTITY, le=MAX_QUANTITY)]
    reason: Text500
    reason_code: AdjustmentReason = AdjustmentReason.CORRECTION

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
