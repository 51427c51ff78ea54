"""HTTP bodies of the ledger, and of the documents that move stock."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field, StringConstraints, model_validator
from rappit_common.pagination import DEFAULT_PAGE_ROWS, MAX_CURSOR_CHARACTERS, MAX_PAGE_ROWS

from rappit_inventory.domain.stock import MAX_QUANTITY, MovementKind, StockState
from rappit_inventory.schemas import Body, Quantity, Read, SkuCode, Text500, WarehouseCode
from rappit_inventory.service.adjust import AdjustmentReason

Code = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00]*$")]
MAX_LINES = 1_000
MAX_ASKED_SKUS = 500


class ThresholdsChange(Body):
    """What is set for a level; what is left out stays."""

    sku: SkuCode
    warehouse_code: WarehouseCode
    reorder_point: Annotated[
        int | None, Field(ge=0, le=MAX_QUANTITY, description="It is low at or below this; null for never.")
    ] = None
    safety_stock: Annotated[
        int, Field(ge=0, le=MAX_QUANTITY, description="Kept from channels, not from orders that came all the same.")
    ] = 0

    @model_validator(mode="after")
    def _something(self) -> "ThresholdsChange":
        if not self.model_fields_set & {"reorder_point", "safety_stock"}:
            raise ValueError("name reorder_point, safety_stock, or both")
        return self


class StateMoveCreate(Body):
    """Units that can, or can no longer, be sold."""

    sku: SkuCode
    warehouse_code: WarehouseCode
    quantity: Quantity
    from_state: StockState
    to_state: StockState
    reason: Text500
    reason_code: AdjustmentReason = AdjustmentReason.CORRECTION

    @model_validator(mode="after")
    def _two_states(self) -> "StateMoveCreate":
        if self.from_state is self.to_state:
            raise ValueError("from_state and to_state are one: nothing would change")
        return self


class LedgerAsked(BaseModel):
    """Which rows of the ledger are asked for."""

    sku: Code | None = None
    warehouse_code: Code | None = None
    kind: MovementKind | None = None
    source_id: Annotated[UUID | None, Field(description="Of this order, shipment, transfer, import …")] = None
    since: AwareDatetime | None = None
    before: AwareDatetime | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE_ROWS)] = DEFAULT_PAGE_ROWS
    cursor: Annotated[str | None, Field(max_length=MAX_CURSOR_CHARACTERS)] = None


class LedgerEntry(BaseModel):
    """One change of one level."""

    id: int
    at: datetime
    sku: str
    warehouse_code: str
    kind: str
    actor: str
    reason_code: str | None
    reason: str | None
    source_type: str
    source_id: UUID
    total_before: int
    total_after: int
    reserved_before: int
    reserved_after: int
    damaged_before: int
    damaged_after: int
    quarantined_before: int
    quarantined_after: int
    available_before: int
    available_after: int
    trace_id: str | None


class AvailabilityAsked(Body):
    """The SKUs whose availability is asked for."""

    skus: Annotated[list[SkuCode], Field(min_length=1, max_length=MAX_ASKED_SKUS)]


class AvailableLevelRead(Read):
    """What one warehouse has of a SKU."""

    warehouse_code: str
    available: int
    for_channels: int
    in_transit: int


class AvailabilityRead(Read):
    """What all warehouses have of a SKU; at most two seconds old."""

    sku: str
    available: Annotated[int, Field(description="What orders may be promised.")]
    for_channels: Annotated[int, Field(description="What channels may be told of: safety stock is left out.")]
    in_transit: Annotated[int, Field(description="On the way to a warehouse; in none of the other numbers.")]
    levels: tuple[AvailableLevelRead, ...]


class AvailabilityList(BaseModel):
    """What was asked for; codes that the catalogue does not know stand apart."""

    items: list[AvailabilityRead]
    unknown_skus: list[str]


class QuantityLine(Body):
    """Units of one SKU."""

    sku: SkuCode
    quantity: Quantity


class TransferCreate(Body):
    """A transfer to plan."""

    source_warehouse_code: WarehouseCode
    target_warehouse_code: WarehouseCode
    lines: Annotated[list[QuantityLine], Field(min_length=1, max_length=MAX_LINES)]
    note: Text500 | None = None


class TransferReceipt(Body):
    """Units that arrived; without lines, all that is on the way."""

    lines: Annotated[list[QuantityLine], Field(min_length=1, max_length=MAX_LINES)] | None = None


class TransferLoss(TransferReceipt):
    """Units that will not arrive, and why; without lines, all that is on the way."""

    reason: Text500


class Cancellation(Body):
    """Why something is cancelled."""

    reason: Text500 | None = None


class TransferLineRead(BaseModel):
    """Units of one SKU, and where they are once it was sent."""

    sku: str
    quantity: int
    quantity_in_transit: int
    quantity_received: int
    quantity_written_off: int
    quantity_returned: Annotated[int, Field(description="Back at the source, since it was cancelled.")]


class TransferStepRead(Read):
    """Something that happened to a transfer."""

    at: datetime
    actor: str
    action: str
    reason: str | None
    lines: list[QuantityLine]


class TransferHead(BaseModel):
    """A transfer in a list."""

    id: UUID
    status: Literal["draft", "sent", "received", "cancelled"]
    source_warehouse_code: str
    target_warehouse_code: str
    note: str | None
    created_at: datetime
    updated_at: datetime


class TransferRead(TransferHead):
    """A transfer, its units and its story."""

    lines: list[TransferLineRead]
    steps: list[TransferStepRead]


class CountCreate(Body):
    """Shelves to count."""

    warehouse_code: WarehouseCode
    skus: Annotated[list[SkuCode], Field(min_length=1, max_length=MAX_LINES)]
    note: Text500 | None = None


class CountedLine(Body):
    """What lies on one shelf."""

    sku: SkuCode
    quantity: Annotated[int, Field(ge=0, le=MAX_QUANTITY)]


class CountedLines(Body):
    """What lies on some shelves."""

    lines: Annotated[list[CountedLine], Field(min_length=1, max_length=MAX_LINES)]


class CountLineRead(BaseModel):
    """One shelf of a count."""

    sku: str
    quantity_counted: int | None
    quantity_expected: Annotated[int | None, Field(description="On hand at the moment when it was counted.")]
    difference: int | None
    counted_by: str | None
    counted_at: datetime | None


class CountHead(BaseModel):
    """A count in a list."""

    id: UUID
    status: Literal["open", "approved", "cancelled"]
    warehouse_code: str
    note: str | None
    opened_by: str
    opened_at: datetime
    closed_by: str | None
    closed_at: datetime | None


class CountRead(CountHead):
    """A count, and what was found."""

    lines: list[CountLineRead]


class ReturnedLineBody(Body):
    """Units of one SKU that came back; without a warehouse they lie where they were shipped from."""

    sku: SkuCode
    quantity: Quantity
    condition: StockState = StockState.SELLABLE
    warehouse_code: WarehouseCode | None = None


class ReturnCreate(Body):
    """Goods of an order that came back."""

    order_id: UUID
    lines: Annotated[list[ReturnedLineBody], Field(min_length=1, max_length=MAX_LINES)]
    reason: Text500 | None = None


class ReturnRead(Read):
    """Goods that came back; the ledger's rows name it as their source."""

    id: UUID
    order_id: UUID
    lines: list[ReturnedLineBody]
    reason: str | None
    actor: str
    created_at: datetime


class VerificationCreate(Body):
    """Which levels to compare with the ledger; and whether to put right what drifted.

    Without SKUs all are compared, 50,000 a step: while the answer holds a `next_cursor`, ask again with it.
    """

    skus: Annotated[list[SkuCode], Field(min_length=1, max_length=MAX_ASKED_SKUS)] | None = None
    cursor: Annotated[str | None, Field(max_length=MAX_CURSOR_CHARACTERS)] = None
    repair: bool = False
    reason: Text500 = "verification"


class QuantitiesRead(Read):
    """A level's counts of units."""

    total: int
    reserved: int
    damaged: int
    quarantined: int


class DriftRead(Read):
    """A level that is not what its ledger and its orders say."""

    sku: str
    warehouse_code: str
    found: QuantitiesRead
    expected: QuantitiesRead


class VerificationRead(BaseModel):
    """What was found, and what was done about it."""

    levels: Annotated[int, Field(description="Levels that were compared.")]
    found: Annotated[int, Field(description="Levels that had drifted; the first 1,000 are named, and repaired.")]
    drifts: list[DriftRead]
    repaired: int
    unrepairable: Annotated[
        list[DriftRead], Field(description="More is promised or set aside than there is: count the shelf.")
    ]
    next_cursor: str | None
