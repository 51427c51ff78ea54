"""How orders are allocated and who of those that wait is served first, and what people do with reservations."""

import sqlalchemy as sa
from alembic import op
from rappit_common.database.migrations import enable_tenancy, make_append_only
from sqlalchemy.dialects.postgresql import JSONB

revision = "0006"
down_revision = "0005"

_ORGANIZATION = "organization_id"
_WAITS = sa.text("waiting_since IS NOT NULL")


def _check(table: str, name: str, rule: str) -> None:
    op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, rule)


def upgrade() -> None:
    _widen_demands()
    _order_the_line()
    _list_reservations()
    op.create_table(
        "stock_settings",
        sa.Column(_ORGANIZATION, sa.Uuid, nullable=False),
        sa.Column("allocation_strategy", sa.String(20), nullable=False),
        sa.Column("partial_reservations", sa.Boolean, nullable=False),
        sa.Column("updated_by", sa.String(200), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint(_ORGANIZATION, name="pk_stock_settings"),
        sa.CheckConstraint(
            "allocation_strategy IN ('priority', 'nearest', 'fewest_parcels')",
            name=op.f("ck_stock_settings_strategy_known"),
        ),
    )
    op.create_table(
        "reservation_steps",
        sa.Column(_ORGANIZATION, sa.Uuid, nullable=False),
        sa.Column("order_id", sa.Uuid, nullable=False),
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("action", sa.String(20), nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("detail", JSONB, nullable=False),
        sa.Column("trace_id", sa.String(32)),
        sa.PrimaryKeyConstraint(_ORGANIZATION, "order_id", "id", name="pk_reservation_steps"),
    )
    enable_tenancy("stock_settings", "reservation_steps")
    make_append_only("reservation_steps")


def _widen_demands() -> None:
    for table in ("demands", "demand_lines"):
        op.add_column(table, sa.Column("priority", sa.Integer, nullable=False, server_default=sa.text("100")))
        _check(table, "priority_not_negative", "priority >= 0")
    op.add_column("demands", sa.Column("country_code", sa.String(2)))
    op.add_column("demands", sa.Column("postal_code", sa.String(20)))
    op.add_column("demands", sa.Column("released_by", sa.String(200)))
    op.add_column("demands", sa.Column("released_reason", sa.Text))
    _check("demands", "released_for_a_reason", "(released_by IS NULL) = (released_reason IS NULL)")


def _order_the_line() -> None:
    """Have the indexes that are the line of waiting orders begin with who was put ahead."""
    op.drop_index("ix_demand_lines_waiting", "demand_lines")
    op.create_index(
        "ix_demand_lines_waiting",
        "demand_lines",
        [_ORGANIZATION, "sku_id", "priority", "waiting_since", "order_id"],
        postgresql_include=["quantity_open"],
        postgresql_where=_WAITS,
    )
    op.drop_index("ix_demand_lines_unknown", "demand_lines")
    op.create_index(
        "ix_demand_lines_unknown",
        "demand_lines",
        [_ORGANIZATION, "sku_key", "priority", "waiting_since", "order_id"],
        postgresql_where=sa.text("sku_id IS NULL"),
    )


def _list_reservations() -> None:
    """Index what lists of reservations ask for, and nothing of an order that went through and was shipped."""
    op.create_index(
        "ix_demand_lines_waiting_order",
        "demand_lines",
        [_ORGANIZATION, "sku_id", "order_id"],
        postgresql_where=_WAITS,
    )
    op.create_index("ix_demands_waiting", "demands", [_ORGANIZATION, "order_id"], postgresql_where=_WAITS)
    for status in ("on_hold", "released"):
        op.create_index(
            f"ix_demands_{status}",
            "demands",
            [_ORGANIZATION, "order_id"],
            postgresql_where=sa.text(f"status = '{status}'"),
        )
    for name in ("sku", "warehouse"):
        op.create_index(
            f"ix_allocations_{name}",
            "allocations",
            [_ORGANIZATION, f"{name}_id", "order_id"],
            postgresql_where=sa.text("quantity_reserved > 0"),
        )
