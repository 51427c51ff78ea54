"""The tables of messages as they were first released: what a service's first migration creates. Never changed.

What they have become since stands in ``tables``; each change is a ``create_v<n>`` there.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
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
from sqlalchemy.dialects.postgresql import JSONB

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
    UniqueConstraint("queue", "message_id"),
    Index("ix_dead_letters_status_last_failed_at", "status", "last_failed_at", "id"),
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
)
