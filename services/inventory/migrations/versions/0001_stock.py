"""The first tables: catalogue, levels, demands, allocations, shipments and the ledger."""

import sqlalchemy as sa
from alembic import op
from rappit_common.database.migrations import enable_tenancy, make_append_only
from rappit_common.messaging import tables
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None

_TENANT_TABLES = (
    "warehouses",
    "skus",
    "inventory_levels",
    "demands",
    "demand_lines",
    "allocations",
    "applied_shipments",
    "stock_ledger",
)


def _uuid(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.Uuid, nullable=nullable)


def _big(*names: str) -> list[sa.Column[object]]:
    return [sa.Column(name, sa.BigInteger, nullable=False) for name in names]


def _time(name: str, *, nullable: bool = False, now: bool = False) -> sa.Column[object]:
    default = sa.func.now() if now else None
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable, server_default=default)


def _key(name: str, code: str) -> sa.Column[object]:
    return sa.Column(name, sa.Text, sa.Computed(f"lower({code})", persisted=True), nullable=False)


def upgrade() -> None:
    tables.create_v1()
    _create_catalogue()
    _create_levels()
    _create_demands()
    enable_tenancy(*_TENANT_TABLES)
    make_append_only("stock_ledger")
    _refuse_deletes("warehouses", "skus", "inventory_levels")


def _create_catalogue() -> None:
    op.create_table(
        "warehouses",
        _uuid("organization_id"),
        _uuid("id"),
        sa.Column("code", sa.String(50), nullable=False),
        _key("code_key", "code"),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("country_code", sa.String(2)),
        _time("created_at", now=True),
        sa.PrimaryKeyConstraint("organization_id", "id", name="pk_warehouses"),
        sa.CheckConstraint("priority >= 0", name=op.f("ck_warehouses_priority_not_negative")),
    )
    op.create_index("uq_warehouses_code", "warehouses", ["organization_id", "code_key"], unique=True)
    op.create_table(
        "skus",
        _uuid("organization_id"),
        _uuid("id"),
        sa.Column("code", sa.String(200), nullable=False),
        _key("code_key", "code"),
        sa.Column("name", sa.String(500), nullable=False),
        sa.Column("barcode", sa.String(50)),
        _time("created_at", now=True),
        sa.PrimaryKeyConstraint("organization_id", "id", name="pk_skus"),
    )
    op.create_index("uq_skus_code", "skus", ["organization_id", "code_key"], unique=True)


def _create_levels() -> None:
    checks = {
        "total_not_negative": "quantity_total >= 0",
        "reserved_not_negative": "quantity_reserved >= 0",
        "available_not_negative": "quantity_available >= 0",
        "available_is_the_difference": "quantity_available = quantity_total - quantity_reserved",
    }
    op.create_table(
        "inventory_levels",
        *(_uuid(name) for name in ("organization_id", "sku_id", "warehouse_id")),
        *_big("quantity_total", "quantity_reserved", "quantity_available"),
        _time("updated_at"),
        sa.PrimaryKeyConstraint("organization_id", "sku_id", "warehouse_id", name="pk_inventory_levels"),
        *(sa.CheckConstraint(rule, name=op.f(f"ck_inventory_levels_{name}")) for name, rule in checks.items()),
        # Room on each page lets a level change in place without touching an index (HOT), the service's hottest write.
        postgresql_with={"fillfactor": 70},
    )
    op.create_index("ix_inventory_levels_warehouse", "inventory_levels", ["organization_id", "warehouse_id", "sku_id"])
    op.create_table(
        "stock_ledger",
        _uuid("organization_id"),
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        _time("at"),
        _uuid("sku_id"),
        _uuid("warehouse_id"),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("source_type", sa.String(20), nullable=False),
        _uuid("source_id"),
        *_big("total_before", "total_after", "reserved_before", "reserved_after"),
        sa.Column("trace_id", sa.String(32)),
        sa.PrimaryKeyConstraint("organization_id", "id", name="pk_stock_ledger"),
    )
    op.create_index("ix_stock_ledger_level", "stock_ledger", ["organization_id", "sku_id", "warehouse_id", "id"])
    op.create_index("ix_stock_ledger_source", "stock_ledger", ["organization_id", "source_id", "id"])


def _create_demands() -> None:
    op.create_table(
        "demands",
        _uuid("organization_id"),
        _uuid("order_id"),
        *_big("order_version", "reservation_version"),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("shortages", JSONB, nullable=False),
        _time("waiting_since", nullable=True),
        _time("updated_at"),
        sa.PrimaryKeyConstraint("organization_id", "order_id", name="pk_demands"),
        sa.CheckConstraint(
            "status IN ('new', 'reserved', 'backordered', 'on_hold', 'released')", name=op.f("ck_demands_status_known")
        ),
        sa.CheckConstraint(
            "(waiting_since IS NOT NULL) = (status IN ('backordered', 'on_hold'))", name=op.f("ck_demands_waits_or_not")
        ),
    )
    op.create_table(
        "demand_lines",
        _uuid("organization_id"),
        _uuid("order_id"),
        sa.Column("sku_code", sa.String(200), nullable=False),
        _key("sku_key", "sku_code"),
        _uuid("sku_id", nullable=True),
        *_big("quantity", "quantity_open"),
        _time("waiting_since", nullable=True),
        sa.PrimaryKeyConstraint("organization_id", "order_id", "sku_code", name="pk_demand_lines"),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_demand_lines_quantity_positive")),
        sa.CheckConstraint("quantity_open >= 0", name=op.f("ck_demand_lines_open_not_negative")),
    )
    op.create_index(
        "ix_demand_lines_waiting",
        "demand_lines",
        ["organization_id", "sku_id", "waiting_since", "order_id"],
        postgresql_include=["quantity_open"],
        postgresql_where=sa.text("waiting_since IS NOT NULL"),
    )
    op.create_index(
        "ix_demand_lines_unknown",
        "demand_lines",
        ["organization_id", "sku_key", "waiting_since", "order_id"],
        postgresql_where=sa.text("sku_id IS NULL"),
    )
    op.create_table(
        "allocations",
        *(_uuid(name) for name in ("organization_id", "order_id", "sku_id", "warehouse_id")),
        *_big("quantity_reserved", "quantity_committed"),
        sa.PrimaryKeyConstraint("organization_id", "order_id", "sku_id", "warehouse_id", name="pk_allocations"),
        sa.CheckConstraint("quantity_reserved >= 0", name=op.f("ck_allocations_reserved_not_negative")),
        sa.CheckConstraint("quantity_committed >= 0", name=op.f("ck_allocations_committed_not_negative")),
    )
    op.create_table(
        "applied_shipments",
        _uuid("organization_id"),
        _uuid("shipment_id"),
        _uuid("order_id"),
        *_big("shipment_version"),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("taken", JSONB, nullable=False),
        _time("updated_at"),
        sa.PrimaryKeyConstraint("organization_id", "shipment_id", name="pk_applied_shipments"),
    )
    op.create_index("ix_applied_shipments_order", "applied_shipments", ["organization_id", "order_id"])


def _refuse_deletes(*names: str) -> None:
    op.execute(
        "CREATE FUNCTION refuse_delete() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " RAISE EXCEPTION 'rows of % are never deleted', TG_TABLE_NAME USING ERRCODE = 'restrict_violation'; END $$"
    )
    for name in names:
        op.execute(
            f'CREATE TRIGGER never_deleted BEFORE DELETE ON "{name}" FOR EACH ROW EXECUTE FUNCTION refuse_delete()'
        )
