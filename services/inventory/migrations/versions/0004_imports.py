"""Imports: their history, their files in chunks, and their failed rows."""

import sqlalchemy as sa
from alembic import op
from rappit_common.database.migrations import enable_tenancy
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"

_TENANT_TABLES = ("imports", "import_chunks", "import_errors")


def _uuid(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.Uuid, nullable=nullable)


def _text(name: str, size: int | None = None, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.Text if size is None else sa.String(size), nullable=nullable)


def _flag(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.Boolean, nullable=False)


def _time(name: str, *, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    _create_imports()
    op.create_table(
        "import_chunks",
        *(_uuid(name) for name in ("organization_id", "import_id")),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("organization_id", "import_id", "number", name="pk_import_chunks"),
    )
    # Compressing costs more time than the disk it saves for a month: a file is read twice at most.
    op.execute("ALTER TABLE import_chunks ALTER COLUMN content SET STORAGE EXTERNAL")
    op.create_table(
        "import_errors",
        *(_uuid(name) for name in ("organization_id", "import_id")),
        sa.Column("line", sa.Integer, nullable=False),
        _text("field", 50),
        _text("code", 50),
        _text("message"),
        _text("value"),
        sa.PrimaryKeyConstraint("organization_id", "import_id", "line", name="pk_import_errors"),
    )
    enable_tenancy(*_TENANT_TABLES)


def _create_imports() -> None:
    op.create_table(
        "imports",
        *(_uuid(name) for name in ("organization_id", "id")),
        *(_text(name, 20) for name in ("kind", "status", "mode")),
        *(_flag(name) for name in ("reject_all", "dry_run", "create_missing_skus", "is_job", "counts_rows")),
        _text("file_name", 200, nullable=True),
        sa.Column("file_bytes", sa.BigInteger, nullable=False),
        sa.Column("file_sha256", sa.LargeBinary, nullable=False),
        _text("idempotency_key", 255, nullable=True),
        _text("actor", 200),
        _text("trace_id", 32, nullable=True),
        _time("created_at", nullable=False),
        *(_time(name) for name in ("started_at", "finished_at", "lease_until", "files_removed_at")),
        sa.Column("attempts", sa.Integer, nullable=False),
        _uuid("lease_token", nullable=True),
        _flag("cancel_requested"),
        _text("phase", 20),
        sa.Column("rows_read", sa.Integer, nullable=False),
        sa.Column("summary", JSONB),
        sa.Column("warnings", JSONB, nullable=False),
        sa.Column("duration_ms", sa.Float),
        _text("error_code", 50, nullable=True),
        _text("error_message", nullable=True),
        sa.PrimaryKeyConstraint("organization_id", "id", name="pk_imports"),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'completed', 'rejected', 'failed', 'cancelled')",
            name=op.f("ck_imports_status_known"),
        ),
        sa.CheckConstraint(
            "(finished_at IS NULL) = (status IN ('queued', 'running'))", name=op.f("ck_imports_finished_or_not")
        ),
        sa.CheckConstraint("(lease_token IS NOT NULL) = (status = 'running')", name=op.f("ck_imports_leased_or_not")),
    )
    op.create_index(
        "uq_imports_key",
        "imports",
        ["organization_id", "kind", "idempotency_key"],
        unique=True,
        postgresql_where=sa.text("idempotency_key IS NOT NULL"),
    )
    op.create_index("ix_imports_file", "imports", ["organization_id", "file_sha256", "id"])
    op.create_index(
        "ix_imports_waiting",
        "imports",
        ["organization_id", "id"],
        postgresql_where=sa.text("status IN ('queued', 'running')"),
    )
    op.create_index("ix_imports_kept", "imports", ["finished_at"], postgresql_where=sa.text("files_removed_at IS NULL"))
