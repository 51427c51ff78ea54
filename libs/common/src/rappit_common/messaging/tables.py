"""The tables every stateful service has for its messages.

They have no tenant wall: no merchant's endpoint reads them, and the relay serves every tenant. They name no schema: the
connection's search path puts them in the service's own.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR

from rappit_common.database.base import NAMING

metadata = MetaData(naming_convention=NAMING)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("organization_id", Uuid, nullable=True),
    Column("event", String(200), nullable=False),
    Column("exchange", String(200), nullable=False),
    Column("routing_key", String(255), nullable=False),
    Column("message_id", String(200), nullable=False),
    Column("content_type", String(200), nullable=False),
    Column("headers", JSONB, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("mandatory", Boolean, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("available_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    Column("last_error", Text, nullable=True),
    Column("sent_at", DateTime(timezone=True), nullable=True),
    Index("ix_outbox_unsent", "available_at", "id", postgresql_where=text("sent_at IS NULL")),
    Index("ix_outbox_sent_at", "sent_at", postgresql_where=text("sent_at IS NOT NULL")),
)

inbox = Table(
    "inbox",
    metadata,
    Column("consumer", String(200), primary_key=True),
    Column("message_id", String(200), primary_key=True),
    Column("claimed_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Index("ix_inbox_claimed_at", "claimed_at"),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("queue", String(255), nullable=False),
    Column("message_id", String(200), nullable=False),
    Column("event", String(200), nullable=False),
    Column("organization_id", Uuid, nullable=True),
    Column("content_type", String(200), nullable=False),
    Column("headers", JSONB, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("error_type", String(300), nullable=False),
    Column("error_message", Text, nullable=False),
    Column("error_stack", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("trace_id", String(32), nullable=True),
    Column("failures", Integer, nullable=False, server_default=text("1")),
    Column("status", String(20), nullable=False, server_default=text("'dead'")),
    Column("first_failed_at", DateTime(timezone=True), nullable=False),
    Column("last_failed_at", DateTime(timezone=True), nullable=False),
    Column("requeue_outbox_id", Uuid, nullable=True),
    Column("requeued_by", String(200), nullable=True),
    Column("requeued_at", DateTime(timezone=True), nullable=True),
    Column("discarded_by", String(200), nullable=True),
    Column("discarded_at", DateTime(timezone=True), nullable=True),
    Column("discard_reason", Text, nullable=True),
    Column("message_shape", String(300), nullable=False, server_default=text("''")),
    Column("group_key", String(32), nullable=False, server_default=text("''")),
    # Written by the drain and not generated: a generated column would turn the body into words again at every update.
    Column("search", TSVECTOR, nullable=False, server_default=text("''")),
    Column("run_id", Uuid, nullable=True),
    # Where a letter that its run has sent stands: sent or failed; null once the run has counted its outcome.
    Column("run_state", String(10), nullable=True),
    UniqueConstraint("queue", "message_id"),
    Index("ix_dead_letters_status_last_failed_at", "status", "last_failed_at", "id"),
    # Each way of asking ends in the list's order, so that no page sorts more than it shows.
    Index("ix_dead_letters_last_failed_at", "last_failed_at", "id"),
    Index("ix_dead_letters_queue", "queue", "last_failed_at", "id"),
    Index("ix_dead_letters_event", "event", "last_failed_at", "id"),
    Index("ix_dead_letters_organization_id", "organization_id", "last_failed_at", "id"),
    Index("ix_dead_letters_error_type", "error_type", "last_failed_at", "id"),
    # Counting groups reads this index alone.
    Index(
        "ix_dead_letters_group_key",
        "group_key",
        "last_failed_at",
        "id",
        postgresql_include=["status", "first_failed_at"],
    ),
    # What is dead is looked for most, and may be a needle among what was settled of its queue, tenant or group.
    *(
        Index(
            f"ix_dead_letters_dead_{column}", column, "last_failed_at", "id", postgresql_where=text("status = 'dead'")
        )
        for column in ("queue", "event", "organization_id", "error_type", "group_key")
    ),
    Index("ix_dead_letters_search", "search", postgresql_using="gin"),
    Index("ix_dead_letters_requeue_outbox_id", "requeue_outbox_id", postgresql_where=text("status = 'requeued'")),
    Index("ix_dead_letters_run", "run_id", "run_state", "id", postgresql_where=text("run_state IS NOT NULL")),
    Index(
        "ix_dead_letters_settled",
        text("coalesce(discarded_at, requeued_at, last_failed_at)"),
        postgresql_where=text("status <> 'dead'"),
    ),
)

dead_letter_notes = Table(
    "dead_letter_notes",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("letter_id", Uuid, ForeignKey("dead_letters.id", ondelete="CASCADE"), nullable=False),
    Column("author", String(200), nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("text", Text, nullable=False),
    Index("ix_dead_letter_notes_letter_id", "letter_id", "id"),
)

# Beside the letters and not in them: a letter has a dozen indexes, so that a run of many would take a minute to begin
# and, worse, to stop.
requeue_waiting = Table(
    "requeue_waiting",
    metadata,
    Column("letter_id", Uuid, primary_key=True),
    Column("run_id", Uuid, nullable=False),
    Index("ix_requeue_waiting_run_id", "run_id", "letter_id"),
)

requeue_runs = Table(
    "requeue_runs",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("state", String(20), nullable=False),
    Column("stage", String(20), nullable=False),
    Column("canary", Boolean, nullable=False),
    Column("rate_per_s", Integer, nullable=False),
    Column("total", Integer, nullable=False),
    Column("sent", Integer, nullable=False, server_default=text("0")),
    Column("handled", Integer, nullable=False, server_default=text("0")),
    Column("failed", Integer, nullable=False, server_default=text("0")),
    Column("selection", JSONB, nullable=False),
    Column("reason", Text, nullable=False),
    Column("stop_reason", Text, nullable=True),
    Column("requested_by", String(200), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("finished_at", DateTime(timezone=True), nullable=True),
    Column("next_at", DateTime(timezone=True), nullable=False),
    Index("ix_requeue_runs_due", "next_at", postgresql_where=text("finished_at IS NULL")),
    Index("ix_requeue_runs_finished_at", "finished_at", postgresql_where=text("finished_at IS NOT NULL")),
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("actor", String(200), nullable=False),
    Column("action", String(100), nullable=False),
    Column("reason", Text, nullable=False),
    Column("organization_id", Uuid, nullable=True),
    Column("detail", JSONB, nullable=False, server_default=text("'{}'")),
    Column("trace_id", String(32), nullable=True),
    Index("ix_audit_log_at", "at"),
    Index("ix_audit_log_actor", "actor", "id"),
    Index("ix_audit_log_action", "action", "id"),
    Index("ix_audit_log_detail", "detail", postgresql_using="gin", postgresql_ops={"detail": "jsonb_path_ops"}),
)


def create_v1() -> None:
    """Create the tables of messages as they were first released. Called from a service's first migration.

    A later change of these tables is a further function here, called from a further migration of each service: a
    released migration never changes.
    """
    from alembic import op  # noqa: PLC0415 - Alembic's `op` means something only while a migration runs

    from rappit_common.database.migrations import make_append_only  # noqa: PLC0415 - as above
    from rappit_common.messaging import first_tables  # noqa: PLC0415 - of no use to a process that serves

    first_tables.metadata.create_all(op.get_bind(), checkfirst=False)
    make_append_only("audit_log")


def create_v2() -> None:
    """Let dead letters be searched, grouped, noted, discarded and requeued in runs; the audit log be filtered."""
    from rappit_common.messaging.dead_letters import second_version  # noqa: PLC0415 - as in create_v1

    second_version.upgrade()
