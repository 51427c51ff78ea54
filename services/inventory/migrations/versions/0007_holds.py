"""Stock held for carts and by hand."""

import sqlalchemy as sa
from alembic import op
from rappit_common.database.migrations import enable_tenancy

revision = "0007"
down_revision = "0006"

_ORGANIZATION = "organization_id"


def _uuid(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.Uuid, nullable=nullable)


def _time(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    _create_holds()
    _create_hold_lines()
    enable_tenancy("holds", "hold_lines")


def _create_holds() -> None:
    live = "state IN ('active', 'promised')"
    checks = {
        "kind_known": "kind IN ('cart', 'manual')",
        "state_known": "state IN ('active', 'promised', 'converted', 'released', 'expired')",
        "ended_or_not": f"(ended_at IS NULL) = ({live})",
        "order_or_not": "state NOT IN ('promised', 'converted') OR order_id IS NOT NULL",
    }
    op.create_table(
        "holds",
        *(_uuid(name) for name in (_ORGANIZATION, "id")),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("actor", sa.String(200), nullable=False),
        _uuid("order_id", nullable=True),
        _time("created_at"),
        _time("expires_at", nullable=True),
        _time("ended_at", nullable=True),
        sa.PrimaryKeyConstraint(_ORGANIZATION, "id", name="pk_holds"),
        *(sa.CheckConstraint(rule, name=op.f(f"ck_holds_{name}")) for name, rule in checks.items()),
    )
    op.create_index("ix_holds_state", "holds", [_ORGANIZATION, "state", "id"])
    op.create_index("ix_holds_kind", "holds", [_ORGANIZATION, "kind", "id"])
    promised = sa.text("state = 'promised'")
    op.create_index("ix_holds_promised", "holds", [_ORGANIZATION, "order_id", "id"], postgresql_where=promised)
    # By time first: whoever ends what is due looks for it among all organizations.
    due = sa.text(f"{live} AND expires_at IS NOT NULL")
    op.create_index("ix_holds_due", "holds", ["expires_at", _ORGANIZATION, "id"], postgresql_where=due)
    op.create_index("ix_holds_ended", "holds", ["ended_at"], postgresql_where=sa.text("ended_at IS NOT NULL"))


def _create_hold_lines() -> None:
    op.create_table(
        "hold_lines",
        *(_uuid(name) for name in (_ORGANIZATION, "hold_id", "sku_id", "warehouse_id")),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("quantity", "quantity_held")),
        sa.PrimaryKeyConstraint(_ORGANIZATION, "hold_id", "sku_id", "warehouse_id", name="pk_hold_lines"),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_hold_lines_quantity_positive")),
        # A hold ends whole: its units are all held, or none is any more.
        sa.CheckConstraint("quantity_held IN (0, quantity)", name=op.f("ck_hold_lines_all_or_nothing")),
    )
    op.create_index("ix_hold_lines_sku", "hold_lines", [_ORGANIZATION, "sku_id", "hold_id"])
    op.create_index(
        "ix_hold_lines_held",
        "hold_lines",
        [_ORGANIZATION, "sku_id", "warehouse_id"],
        postgresql_where=sa.text("quantity_held > 0"),
    )
