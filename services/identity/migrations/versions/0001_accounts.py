"""Organizations, users, operators, sessions and API keys, each behind row-level security."""

import sqlalchemy as sa
from alembic import op
from rappit_common.database.migrations import enable_tenancy
from rappit_common.messaging import tables

revision = "0001"
down_revision = None

MERCHANT_ROLE = "role IN ('owner', 'staff', 'viewer')"
ONE_HOLDER = "(user_id IS NULL) <> (operator_id IS NULL) AND (user_id IS NULL) = (organization_id IS NULL)"


def moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    tables.create_v1()
    op.create_table(
        "organizations",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("slug", sa.String(63), nullable=False, unique=True),
        moment("created_at"),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("organization_id", sa.Uuid, sa.ForeignKey("organizations.id"), nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("role", sa.String(20), nullable=False),
        sa.Column("password_hash", sa.Text, nullable=False),
        moment("created_at"),
        moment("last_login_at", nullable=True),
        moment("deactivated_at", nullable=True),
        sa.CheckConstraint(MERCHANT_ROLE, "role"),
    )
    op.create_index(None, "users", ["organization_id", "id"])
    op.create_table(
        "operators",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("role", sa.String(20), nullable=False),
        sa.Column("password_hash", sa.Text, nullable=False),
        moment("created_at"),
        moment("last_login_at", nullable=True),
        moment("deactivated_at", nullable=True),
        sa.CheckConstraint("role IN ('operator', 'operator_viewer')", "role"),
    )
    op.create_table(
        "logins",
        sa.Column("email", sa.String(254), primary_key=True),
        sa.Column("organization_id", sa.Uuid, sa.ForeignKey("organizations.id"), nullable=True),
        sa.Column("user_id", sa.Uuid, sa.ForeignKey("users.id"), nullable=True, unique=True),
        sa.Column("operator_id", sa.Uuid, sa.ForeignKey("operators.id"), nullable=True, unique=True),
        sa.CheckConstraint(ONE_HOLDER, "one_holder"),
    )
    op.create_table(
        "refresh_tokens",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("family_id", sa.Uuid, nullable=False, index=True),
        sa.Column("organization_id", sa.Uuid, sa.ForeignKey("organizations.id"), nullable=True),
        sa.Column("user_id", sa.Uuid, sa.ForeignKey("users.id"), nullable=True, index=True),
        sa.Column("operator_id", sa.Uuid, sa.ForeignKey("operators.id"), nullable=True, index=True),
        sa.Column("token_hash", sa.LargeBinary, nullable=False, unique=True),
        moment("created_at"),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False, index=True),
        moment("used_at", nullable=True),
        moment("revoked_at", nullable=True),
        sa.CheckConstraint(ONE_HOLDER, "one_holder"),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("organization_id", sa.Uuid, sa.ForeignKey("organizations.id"), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("role", sa.String(20), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary, nullable=False),
        sa.Column("created_by", sa.String(254), nullable=False),
        moment("created_at"),
        moment("last_used_at", nullable=True),
        moment("revoked_at", nullable=True),
        sa.CheckConstraint(MERCHANT_ROLE, "role"),
    )
    op.create_index(None, "api_keys", ["organization_id", "id"])
    enable_tenancy("users", "logins", "refresh_tokens", "api_keys")
    # The tenant itself has no organization_id, and an operator never has one.
    bypassed = "current_setting('rappit.bypass_tenancy', true) = 'on'"
    tenant = "id = nullif(current_setting('rappit.organization_id', true), '')::uuid"
    for table, condition in (("organizations", f"{tenant} OR {bypassed}"), ("operators", bypassed)):
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY tenant ON {table} USING ({condition})")
