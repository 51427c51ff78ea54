"""The tables. Every key begins with the organization, so that a tenant's rows lie together and can be moved apart.

Levels, allocations and the ledger name SKUs and warehouses without foreign keys: checking one locks and rewrites the
SKU's row for every row written, which would double the time of a first import. Nothing dangles all the same, since the
database refuses to delete a SKU or a warehouse, whoever asks.

Codes are compared by a stored ``lower(code)``: below row-level security an index over the expression itself would not
be used, since ``lower`` is not leakproof, and each look-up would read all of the organization's rows.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from rappit_common.database.base import NAMING, Base, TenantScoped
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Computed,
    DateTime,
    Float,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Text,
    Uuid,
    func,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

_BYTES = {"code_key": "text_pattern_ops", "name_key": "text_pattern_ops", "barcode": "varchar_pattern_ops"}


class InventoryBase(Base):
    """Base of this service's tables."""

    __abstract__ = True
    metadata = MetaData(naming_convention=NAMING)


class Warehouse(TenantScoped, InventoryBase):
    """A place where stock lies. The lowest ``priority`` ships first; nothing is allocated to one that is not active."""

    __tablename__ = "warehouses"
    __table_args__ = (
        PrimaryKeyConstraint("organization_id", "id"),
        Index("uq_warehouses_code", "organization_id", "code_key", unique=True),
        CheckConstraint("priority >= 0", name="priority_not_negative"),
    )

    id: Mapped[UUID] = mapped_column(Uuid)
    code: Mapped[str] = mapped_column(String(50))
    code_key: Mapped[str] = mapped_column(Text, Computed("lower(code)", persisted=True))
    name: Mapped[str] = mapped_column(String(200))
    priority: Mapped[int] = mapped_column(Integer)
    country_code: Mapped[str | None] = mapped_column(String(2))
    address: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    active: Mapped[bool] = mapped_column(Boolean, server_default=true())
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class Sku(TenantScoped, InventoryBase):
    """A thing that is stocked. Its code keeps its case and is unique without it.

    ``product`` groups the variants of one thing, ``options`` tell them apart (``{"size": "M"}``).
    """

    __tablename__ = "skus"
    __table_args__ = (
        PrimaryKeyConstraint("organization_id", "id"),
        Index("uq_skus_code", "organization_id", "code_key", unique=True),
        # In the order of bytes, so that what begins with a text is one stretch of the index.
        Index("ix_skus_code_prefix", "organization_id", "code_key", postgresql_ops=_BYTES),
        Index("ix_skus_name_prefix", "organization_id", "name_key", postgresql_ops=_BYTES),
        Index("ix_skus_barcode", "organization_id", "barcode", "id", postgresql_ops=_BYTES),
        Index("ix_skus_product", "organization_id", "product", "id", postgresql_where=text("product IS NOT NULL")),
        Index("ix_skus_inactive", "organization_id", "id", postgresql_where=text("NOT active")),
        CheckConstraint("weight_g >= 0", name="weight_not_negative"),
        CheckConstraint("length_mm >= 0 AND width_mm >= 0 AND height_mm >= 0", name="size_not_negative"),
    )

    id: Mapped[UUID] = mapped_column(Uuid)
    code: Mapped[str] = mapped_column(String(200))
    code_key: Mapped[str] = mapped_column(Text, Computed("lower(code)", persisted=True))
    name: Mapped[str] = mapped_column(String(500))
    name_key: Mapped[str] = mapped_column(Text, Computed("lower(left(name, 100))", persisted=True))
    barcode: Mapped[str | None] = mapped_column(String(50))
    product: Mapped[str | None] = mapped_column(String(200))
    options: Mapped[dict[str, str] | None] = mapped_column(JSONB)
    weight_g: Mapped[int | None] = mapped_column(Integer)
    length_mm: Mapped[int | None] = mapped_column(Integer)
    width_mm: Mapped[int | None] = mapped_column(Integer)
    height_mm: Mapped[int | None] = mapped_column(Integer)
    hs_code: Mapped[str | None] = mapped_column(String(20))
    country_of_origin: Mapped[str | None] = mapped_column(String(2))
    customs_description: Mapped[str | None] = mapped_column(String(200))
    active: Mapped[bool] = mapped_column(Boolean, server_default=true())
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class InventoryLevel(TenantScoped, InventoryBase):
    """The only truth about how much of a SKU lies in a warehouse, how much is promised and how much cannot be sold.

    ``is_low`` is worked out by the database, so that low stock is an index and not a scan. It is a column and not the
    index's own condition: a condition on ``quantity_available`` would make each reservation rewrite every index.
    """

    __tablename__ = "inventory_levels"
    __table_args__ = (
        # In the order in which rows are locked (repository/locks.py).
        PrimaryKeyConstraint("organization_id", "sku_id", "warehouse_id"),
        Index("ix_inventory_levels_warehouse", "organization_id", "warehouse_id", "sku_id"),
        CheckConstraint("quantity_total >= 0", name="total_not_negative"),
        CheckConstraint("quantity_reserved >= 0", name="reserved_not_negative"),
        CheckConstraint("quantity_available >= 0", name="available_not_negative"),
        CheckConstraint("quantity_damaged >= 0", name="damaged_not_negative"),
        CheckConstraint("quantity_quarantined >= 0", name="quarantined_not_negative"),
        CheckConstraint(
            "quantity_available = quantity_total - quantity_reserved - quantity_damaged - quantity_quarantined",
            name="available_is_the_difference",
        ),
        CheckConstraint("reorder_point >= 0", name="reorder_point_not_negative"),
        CheckConstraint("safety_stock >= 0", name="safety_stock_not_negative"),
        Index("ix_inventory_levels_low", "organization_id", "sku_id", "warehouse_id", postgresql_where=text("is_low")),
    )

    sku_id: Mapped[UUID] = mapped_column(Uuid)
    warehouse_id: Mapped[UUID] = mapped_column(Uuid)
    quantity_total: Mapped[int] = mapped_column(BigInteger)
    quantity_reserved: Mapped[int] = mapped_column(BigInteger)
    quantity_available: Mapped[int] = mapped_column(BigInteger)
    quantity_damaged: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    quantity_quarantined: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    reorder_point: Mapped[int | None] = mapped_column(BigInteger)
    safety_stock: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    is_low: Mapped[bool] = mapped_column(
        Boolean, Computed("coalesce(quantity_available <= reorder_point, false)", persisted=True)
    )
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class DemandRow(TenantScoped, InventoryBase):
    """What an order needs as of its newest version, where it goes, and what it was answered.

    ``released_by`` and ``released_reason`` are set while a person keeps it from holding anything.
    """

    __tablename__ = "demands"
    __table_args__ = (
        PrimaryKeyConstraint("organization_id", "order_id"),
        # Lists of the few among the many: an order that goes through at once is never in them.
        Index("ix_demands_waiting", "organization_id", "order_id", postgresql_where=text("waiting_since IS NOT NULL")),
        *(
            Index(f"ix_demands_{name}", "organization_id", "order_id", postgresql_where=text(f"status = '{name}'"))
            for name in ("on_hold", "released")
        ),
        CheckConstraint("priority >= 0", name="priority_not_negative"),
        CheckConstraint("(released_by IS NULL) = (released_reason IS NULL)", name="released_for_a_reason"),
        CheckConstraint("status IN ('new', 'reserved', 'backordered', 'on_hold', 'released')", name="status_known"),
        CheckConstraint("(waiting_since IS NOT NULL) = (status IN ('backordered', 'on_hold'))", name="waits_or_not"),
    )

    order_id: Mapped[UUID] = mapped_column(Uuid)
    order_version: Mapped[int] = mapped_column(BigInteger)
    reservation_version: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[str] = mapped_column(String(20))
    shortages: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    waiting_since: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    priority: Mapped[int] = mapped_column(Integer, server_default=text("100"))
    country_code: Mapped[str | None] = mapped_column(String(2))
    postal_code: Mapped[str | None] = mapped_column(String(20))
    released_by: Mapped[str | None] = mapped_column(String(200))
    released_reason: Mapped[str | None] = mapped_column(Text)
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class DemandLineRow(TenantScoped, InventoryBase):
    """One SKU of an order, as the order spells it; ``sku_id`` is null while the catalogue does not know it.

    While the order waits for this SKU, ``waiting_since`` is set and ``quantity_open`` says what still has to be found
    on the shelves: the line of waiting orders of a SKU is an index, not a scan. ``priority`` is the order's.
    """

    __tablename__ = "demand_lines"
    __table_args__ = (
        PrimaryKeyConstraint("organization_id", "order_id", "sku_code"),
        CheckConstraint("quantity > 0", name="quantity_positive"),
        CheckConstraint("quantity_open >= 0", name="open_not_negative"),
        Index(
            "ix_demand_lines_waiting",
            "organization_id",
            "sku_id",
            "priority",
            "waiting_since",
            "order_id",
            postgresql_include=["quantity_open"],
            postgresql_where=text("waiting_since IS NOT NULL"),
        ),
        Index(
            "ix_demand_lines_unknown",
            "organization_id",
            "sku_key",
            "priority",
            "waiting_since",
            "order_id",
            postgresql_where=text("sku_id IS NULL"),
        ),
        Index(
            "ix_demand_lines_waiting_order",
            "organization_id",
            "sku_id",
            "order_id",
            postgresql_where=text("waiting_since IS NOT NULL"),
        ),
        CheckConstraint("priority >= 0", name="priority_not_negative"),
    )

    order_id: Mapped[UUID] = mapped_column(Uuid)
    sku_code: Mapped[str] = mapped_column(String(200))
    sku_key: Mapped[str] = mapped_column(Text, Computed("lower(sku_code)", persisted=True))
    sku_id: Mapped[UUID | None] = mapped_column(Uuid)
    quantity: Mapped[int] = mapped_column(BigInteger)
    quantity_open: Mapped[int] = mapped_column(BigInteger)
    waiting_since: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    priority: Mapped[int] = mapped_column(Integer, server_default=text("100"))


class AllocationRow(TenantScoped, InventoryBase):
    """Units of a warehouse that an order holds (reserved), has had shipped (committed), and of these sent back."""

    __tablename__ = "allocations"
    __table_args__ = (
        PrimaryKeyConstraint("organization_id", "order_id", "sku_id", "warehouse_id"),
        *(
            Index(
                f"ix_allocations_{name}",
                "organization_id",
                f"{name}_id",
                "order_id",
                postgresql_where=text("quantity_reserved > 0"),
            )
            for name in ("sku", "warehouse")
        ),
        CheckConstraint("quantity_reserved >= 0", name="reserved_not_negative"),
        CheckConstraint("quantity_committed >= 0", name="committed_not_negative"),
        CheckConstraint("quantity_returned BETWEEN 0 AND quantity_committed", name="returned_was_committed"),
    )

    order_id: Mapped[UUID] = mapped_column(Uuid)
    sku_id: Mapped[UUID] = mapped_column(Uuid)
    warehouse_id: Mapped[UUID] = mapped_column(Uuid)
    quantity_reserved: Mapped[int] = mapped_column(BigInteger)
    quantity_committed: Mapped[int] = mapped_column(BigInteger)
    quantity_returned: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))


class AppliedShipment(TenantScoped, InventoryBase):
    """The newest version of a shipment that was applied, and what it took from where, for a void."""

    __tablename__ = "applied_shipments"
    __table_args__ = (
        PrimaryKeyConstraint("organization_id", "shipment_id"),
        Index("ix_applied_shipments_order", "organization_id", "order_id"),
    )

    shipment_id: Mapped[UUID] = mapped_column(Uuid)
    order_id: Mapped[UUID] = mapped_column(Uuid)
    shipment_version: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[str] = mapped_column(String(20))
    taken: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class LedgerRow(TenantScoped, InventoryBase):
    """One change of one level: who, why, before and after, by which document. Never changed, never removed.

    Each index ends in time, so that any filter's pages are read off an index. The kinds that every order brings are
    left out of the index by kind: they are never far to seek, and each index costs the hot path a write.
    """

    __tablename__ = "stock_ledger"
    __table_args__ = (
        PrimaryKeyConstraint("organization_id", "id"),
        Index("ix_stock_ledger_sku", "organization_id", "sku_id", "at", "id"),
        Index("ix_stock_ledger_warehouse", "organization_id", "warehouse_id", "at", "id"),
        Index("ix_stock_ledger_source", "organization_id", "source_id", "at", "id"),
        Index("ix_stock_ledger_time", "organization_id", "at", "id"),
        Index(
            "ix_stock_ledger_kind",
            "organization_id",
            "kind",
            "at",
            "id",
            postgresql_where=text("kind <> ALL ('{reserve,release,commit}')"),
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    sku_id: Mapped[UUID] = mapped_column(Uuid)
    warehouse_id: Mapped[UUID] = mapped_column(Uuid)
    kind: Mapped[str] = mapped_column(String(20))
    actor: Mapped[str] = mapped_column(String(200))
    reason: Mapped[str | None] = mapped_column(Text)
    source_type: Mapped[str] = mapped_column(String(20))
    source_id: Mapped[UUID] = mapped_column(Uuid)
    total_before: Mapped[int] = mapped_column(BigInteger)
    total_after: Mapped[int] = mapped_column(BigInteger)
    reserved_before: Mapped[int] = mapped_column(BigInteger)
    reserved_after: Mapped[int] = mapped_column(BigInteger)
    damaged_before: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    damaged_after: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    quarantined_before: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    quarantined_after: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    reason_code: Mapped[str | None] = mapped_column(String(40))
    trace_id: Mapped[str | None] = mapped_column(String(32))


class ImportRow(TenantScoped, InventoryBase):
    """One file that was imported, or is to be. A job's claim is its lease; without one nobody may end it."""

    __tablename__ = "imports"
    __table_args__ = (
        PrimaryKeyConstraint("organization_id", "id"),
        CheckConstraint(
            "status IN ('queued', 'running', 'completed', 'rejected', 'failed', 'cancelled')", name="status_known"
        ),
        CheckConstraint("(finished_at IS NULL) = (status IN ('queued', 'running'))", name="finished_or_not"),
        CheckConstraint("(lease_token IS NOT NULL) = (status = 'running')", name="leased_or_not"),
        Index(
            "uq_imports_key",
            "organization_id",
            "kind",
            "idempotency_key",
            unique=True,
            postgresql_where=text("idempotency_key IS NOT NULL"),
        ),
        Index("ix_imports_file", "organization_id", "file_sha256", "id"),
        Index(
            "ix_imports_waiting",
            "organization_id",
            "id",
            postgresql_where=text("status IN ('queued', 'running')"),
        ),
        Index("ix_imports_kept", "finished_at", postgresql_where=text("files_removed_at IS NULL")),
    )

    id: Mapped[UUID] = mapped_column(Uuid)
    kind: Mapped[str] = mapped_column(String(20))
    status: Mapped[str] = mapped_column(String(20))
    mode: Mapped[str] = mapped_column(String(20))
    reject_all: Mapped[bool] = mapped_column(Boolean)
    dry_run: Mapped[bool] = mapped_column(Boolean)
    create_missing_skus: Mapped[bool] = mapped_column(Boolean)
    is_job: Mapped[bool] = mapped_column(Boolean)
    counts_rows: Mapped[bool] = mapped_column(Boolean)
    file_name: Mapped[str | None] = mapped_column(String(200))
    file_bytes: Mapped[int] = mapped_column(BigInteger)
    file_sha256: Mapped[bytes] = mapped_column(LargeBinary)
    idempotency_key: Mapped[str | None] = mapped_column(String(255))
    actor: Mapped[str] = mapped_column(String(200))
    trace_id: Mapped[str | None] = mapped_column(String(32))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    started_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    attempts: Mapped[int] = mapped_column(Integer)
    lease_token: Mapped[UUID | None] = mapped_column(Uuid)
    lease_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    cancel_requested: Mapped[bool] = mapped_column(Boolean)
    phase: Mapped[str] = mapped_column(String(20))
    rows_read: Mapped[int] = mapped_column(Integer)
    summary: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    warnings: Mapped[list[str]] = mapped_column(JSONB)
    duration_ms: Mapped[float | None] = mapped_column(Float)
    error_code: Mapped[str | None] = mapped_column(String(50))
    error_message: Mapped[str | None] = mapped_column(Text)
    files_removed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class ImportChunk(TenantScoped, InventoryBase):
    """A part of an import's file, 1 MiB at most."""

    __tablename__ = "import_chunks"
    __table_args__ = (PrimaryKeyConstraint("organization_id", "import_id", "number"),)

    import_id: Mapped[UUID] = mapped_column(Uuid)
    number: Mapped[int] = mapped_column(Integer)
    content: Mapped[bytes] = mapped_column(LargeBinary)


class ImportErrorRow(TenantScoped, InventoryBase):
    """A row of a file that was not applied, and why."""

    __tablename__ = "import_errors"
    __table_args__ = (PrimaryKeyConstraint("organization_id", "import_id", "line"),)

    import_id: Mapped[UUID] = mapped_column(Uuid)
    line: Mapped[int] = mapped_column(Integer)
    field: Mapped[str] = mapped_column(String(50))
    code: Mapped[str] = mapped_column(String(50))
    message: Mapped[str] = mapped_column(Text)
    value: Mapped[str] = mapped_column(Text)
