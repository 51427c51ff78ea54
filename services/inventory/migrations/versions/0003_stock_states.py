"""What the catalogue tells, stock that cannot be sold, and the documents that move stock."""

import sqlalchemy as sa
from alembic import op
from rappit_common.database.migrations import enable_tenancy, make_append_only
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"

_ORGANIZATION = "organization_id"
_TENANT_TABLES = (
    "transfers",
    "transfer_lines",
    "transfer_steps",
    "stock_counts",
    "stock_count_lines",
    "stock_returns",
)


def _uuid(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.Uuid, nullable=nullable)


def _big(*names: str) -> list[sa.Column[object]]:
    return [sa.Column(name, sa.BigInteger, nullable=False) for name in names]


def _zero(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default=sa.text("0"))


def _time(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _add(table: str, *columns: sa.Column[object]) -> None:
    for column in columns:
        op.add_column(table, column)


def _check(table: str, name: str, rule: str) -> None:
    op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, rule)


def upgrade() -> None:
    _widen_catalogue()
    _widen_levels()
    _widen_ledger()
    _create_transfers()
    _create_counts_and_returns()
    enable_tenancy(*_TENANT_TABLES)
    make_append_only("transfer_steps", "stock_returns")


def _widen_catalogue() -> None:
    active = {"nullable": False, "server_default": sa.true()}
    _add("warehouses", sa.Column("address", JSONB), sa.Column("active", sa.Boolean, **active))
    _add(
        "skus",
        sa.Column("name_key", sa.Text, sa.Computed("lower(left(name, 100))", persisted=True), nullable=False),
        sa.Column("product", sa.String(200)),
        sa.Column("options", JSONB),
        *(sa.Column(name, sa.Integer) for name in ("weight_g", "length_mm", "width_mm", "height_mm")),
        sa.Column("hs_code", sa.String(20)),
        sa.Column("country_of_origin", sa.String(2)),
        sa.Column("customs_description", sa.String(200)),
        sa.Column("active", sa.Boolean, **active),
    )
    _check("skus", "weight_not_negative", "weight_g >= 0")
    _check("skus", "size_not_negative", "length_mm >= 0 AND width_mm >= 0 AND height_mm >= 0")
    bytewise = {"code_key": "text_pattern_ops", "name_key": "text_pattern_ops", "barcode": "varchar_pattern_ops"}
    op.create_index("ix_skus_code_prefix", "skus", [_ORGANIZATION, "code_key"], postgresql_ops=bytewise)
    op.create_index("ix_skus_name_prefix", "skus", [_ORGANIZATION, "name_key"], postgresql_ops=bytewise)
    op.create_index("ix_skus_barcode", "skus", [_ORGANIZATION, "barcode", "id"], postgresql_ops=bytewise)
    grouped = sa.text("product IS NOT NULL")
    op.create_index("ix_skus_product", "skus", [_ORGANIZATION, "product", "id"], postgresql_where=grouped)
    op.create_index("ix_skus_inactive", "skus", [_ORGANIZATION, "id"], postgresql_where=sa.text("NOT active"))


def _widen_levels() -> None:
    _add(
        "inventory_levels",
        _zero("quantity_damaged"),
        _zero("quantity_quarantined"),
        sa.Column("reorder_point", sa.BigInteger),
        _zero("safety_stock"),
        sa.Column(
            "is_low",
            sa.Boolean,
            sa.Computed("coalesce(quantity_available <= reorder_point, false)", persisted=True),
            nullable=False,
        ),
    )
    for name in ("quantity_damaged", "quantity_quarantined", "reorder_point", "safety_stock"):
        _check("inventory_levels", f"{name.removeprefix('quantity_')}_not_negative", f"{name} >= 0")
    difference = "ck_inventory_levels_available_is_the_difference"
    op.drop_constraint(op.f(difference), "inventory_levels", type_="check")
    _check(
        "inventory_levels",
        "available_is_the_difference",
        "quantity_available = quantity_total - quantity_reserved - quantity_damaged - quantity_quarantined",
    )
    op.create_index(
        "ix_inventory_levels_low",
        "inventory_levels",
        [_ORGANIZATION, "sku_id", "warehouse_id"],
        postgresql_where=sa.text("is_low"),
    )
    _add("allocations", _zero("quantity_returned"))
    _check("allocations", "returned_was_committed", "quantity_returned BETWEEN 0 AND quantity_committed")


def _widen_ledger() -> None:
    states = ("damaged_before", "damaged_after", "quarantined_before", "quarantined_after")
    _add("stock_ledger", *(_zero(name) for name in states), sa.Column("reason_code", sa.String(40)))
    op.drop_index("ix_stock_ledger_level", "stock_ledger")
    op.drop_index("ix_stock_ledger_source", "stock_ledger")
    columns = {"sku": ["sku_id"], "warehouse": ["warehouse_id"], "source": ["source_id"], "time": []}
    for name, leading in columns.items():
        op.create_index(f"ix_stock_ledger_{name}", "stock_ledger", [_ORGANIZATION, *leading, "at", "id"])
    op.create_index(
        "ix_stock_ledger_kind",
        "stock_ledger",
        [_ORGANIZATION, "kind", "at", "id"],
        postgresql_where=sa.text("kind <> ALL ('{reserve,release,commit}')"),
    )


def _create_transfers() -> None:
    op.create_table(
        "transfers",
        *(_uuid(name) for name in (_ORGANIZATION, "id", "source_id", "target_id")),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("note", sa.Text),
        _time("created_at"),
        _time("updated_at"),
        sa.PrimaryKeyConstraint(_ORGANIZATION, "id", name="pk_transfers"),
        sa.CheckConstraint(
            "status IN ('draft', 'sent', 'received', 'cancelled')", name=op.f("ck_transfers_status_known")
        ),
        sa.CheckConstraint("source_id <> target_id", name=op.f("ck_transfers_two_warehouses")),
    )
    op.create_index("ix_transfers_status", "transfers", [_ORGANIZATION, "status", "id"])
    parts = ("quantity_in_transit", "quantity_received", "quantity_written_off", "quantity_returned")
    checks = {
        "quantity_positive": "quantity > 0",
        "none_negative": " AND ".join(f"{part} >= 0" for part in parts),
        "nothing_appears_or_vanishes": f"{' + '.join(parts)} IN (0, quantity)",
    }
    op.create_table(
        "transfer_lines",
        *(_uuid(name) for name in (_ORGANIZATION, "transfer_id", "sku_id", "target_id")),
        *_big("quantity", *parts),
        sa.PrimaryKeyConstraint(_ORGANIZATION, "transfer_id", "sku_id", name="pk_transfer_lines"),
        *(sa.CheckConstraint(rule, name=op.f(f"ck_transfer_lines_{name}")) for name, rule in checks.items()),
    )
    op.create_index(
        "ix_transfer_lines_in_transit",
        "transfer_lines",
        [_ORGANIZATION, "sku_id", "target_id"],
        postgresql_where=sa.text("quantity_in_transit > 0"),
    )
    op.create_table(
        "transfer_steps",
        _uuid(_ORGANIZATION),
        _uuid("transfer_id"),
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        _time("at"),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("action", sa.String(20), nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("lines", JSONB, nullable=False),
        sa.PrimaryKeyConstraint(_ORGANIZATION, "transfer_id", "id", name="pk_transfer_steps"),
    )


def _create_counts_and_returns() -> None:
    op.create_table(
        "stock_counts",
        *(_uuid(name) for name in (_ORGANIZATION, "id", "warehouse_id")),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("note", sa.Text),
        sa.Column("opened_by", sa.String(200), nullable=False),
        _time("opened_at"),
        sa.Column("closed_by", sa.String(200)),
        _time("closed_at", nullable=True),
        sa.PrimaryKeyConstraint(_ORGANIZATION, "id", name="pk_stock_counts"),
        sa.CheckConstraint("status IN ('open', 'approved', 'cancelled')", name=op.f("ck_stock_counts_status_known")),
    )
    op.create_index("ix_stock_counts_status", "stock_counts", [_ORGANIZATION, "status", "id"])
    op.create_table(
        "stock_count_lines",
        *(_uuid(name) for name in (_ORGANIZATION, "count_id", "sku_id")),
        sa.Column("quantity_counted", sa.BigInteger),
        sa.Column("quantity_expected", sa.BigInteger),
        _uuid("counted_by", nullable=True),
        sa.Column("counted_by_label", sa.String(200)),
        _time("counted_at", nullable=True),
        sa.PrimaryKeyConstraint(_ORGANIZATION, "count_id", "sku_id", name="pk_stock_count_lines"),
        sa.CheckConstraint("quantity_counted >= 0", name=op.f("ck_stock_count_lines_counted_not_negative")),
        sa.CheckConstraint(
            "(quantity_counted IS NULL) = (quantity_expected IS NULL)",
            name=op.f("ck_stock_count_lines_counted_against_something"),
        ),
    )
    op.create_table(
        "stock_returns",
        *(_uuid(name) for name in (_ORGANIZATION, "id", "order_id")),
        sa.Column("lines", JSONB, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("actor", sa.String(200), nullable=False),
        _time("created_at"),
        sa.PrimaryKeyConstraint(_ORGANIZATION, "id", name="pk_stock_returns"),
    )
    op.create_index("ix_stock_returns_order", "stock_returns", [_ORGANIZATION, "order_id", "id"])
