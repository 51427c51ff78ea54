"""The second version of the tables of dead letters, as it was released. Runs inside a migration; never changed."""

from typing import Any

from alembic import op
from sqlalchemy import Connection, text

from rappit_common.messaging.dead_letters.shapes import (
    MAX_SEARCHED_BODY_BYTES,
    group_key,
    message_shape,
    searchable_text,
)

BACKFILLED_ROWS = 500

# The defaults let a process of the version before go on keeping letters until it is replaced.
_TABLES = (
    (
        "ALTER TABLE dead_letters"
        " ADD COLUMN requeued_at timestamptz, ADD COLUMN discarded_by varchar(200),"
        " ADD COLUMN discarded_at timestamptz, ADD COLUMN discard_reason text,"
        " ADD COLUMN message_shape varchar(300) NOT NULL DEFAULT '',"
        " ADD COLUMN group_key varchar(32) NOT NULL DEFAULT '', ADD COLUMN search tsvector NOT NULL DEFAULT '',"
        " ADD COLUMN run_id uuid, ADD COLUMN run_state varchar(10)"
    ),
    (
        "CREATE TABLE dead_letter_notes ("
        " id uuid CONSTRAINT pk_dead_letter_notes PRIMARY KEY,"
        " letter_id uuid NOT NULL CONSTRAINT fk_dead_letter_notes_letter_id REFERENCES dead_letters ON DELETE CASCADE,"
        " author varchar(200) NOT NULL, at timestamptz NOT NULL, text text NOT NULL)"
    ),
    (
        "CREATE TABLE requeue_runs ("
        " id uuid CONSTRAINT pk_requeue_runs PRIMARY KEY, state varchar(20) NOT NULL, stage varchar(20) NOT NULL,"
        " canary boolean NOT NULL, rate_per_s integer NOT NULL, total integer NOT NULL,"
        " sent integer NOT NULL DEFAULT 0, handled integer NOT NULL DEFAULT 0, failed integer NOT NULL DEFAULT 0,"
        " selection jsonb NOT NULL, reason text NOT NULL, stop_reason text, requested_by varchar(200) NOT NULL,"
        " created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, finished_at timestamptz,"
        " next_at timestamptz NOT NULL)"
    ),
    "CREATE TABLE requeue_waiting (letter_id uuid CONSTRAINT pk_requeue_waiting PRIMARY KEY, run_id uuid NOT NULL)",
)
# After the rows have their values: an index costs less when it is built at once.
_INDEXES = (
    "CREATE INDEX ix_dead_letters_last_failed_at ON dead_letters (last_failed_at, id)",
    "CREATE INDEX ix_dead_letters_queue ON dead_letters (queue, last_failed_at, id)",
    "CREATE INDEX ix_dead_letters_event ON dead_letters (event, last_failed_at, id)",
    "CREATE INDEX ix_dead_letters_organization_id ON dead_letters (organization_id, last_failed_at, id)",
    "CREATE INDEX ix_dead_letters_error_type ON dead_letters (error_type, last_failed_at, id)",
    (
        "CREATE INDEX ix_dead_letters_group_key ON dead_letters (group_key, last_failed_at, id)"
        " INCLUDE (status, first_failed_at)"
    ),
    *(
        f"CREATE INDEX ix_dead_letters_dead_{column} ON dead_letters ({column}, last_failed_at, id)"
        " WHERE status = 'dead'"
        for column in ("queue", "event", "organization_id", "error_type", "group_key")
    ),
    "CREATE INDEX ix_dead_letters_search ON dead_letters USING gin (search)",
    "CREATE INDEX ix_dead_letters_requeue_outbox_id ON dead_letters (requeue_outbox_id) WHERE status = 'requeued'",
    "CREATE INDEX ix_dead_letters_run ON dead_letters (run_id, run_state, id) WHERE run_state IS NOT NULL",
    (
        "CREATE INDEX ix_dead_letters_settled ON dead_letters (coalesce(discarded_at, requeued_at, last_failed_at))"
        " WHERE status <> 'dead'"
    ),
    "CREATE INDEX ix_dead_letter_notes_letter_id ON dead_letter_notes (letter_id, id)",
    "CREATE INDEX ix_requeue_waiting_run_id ON requeue_waiting (run_id, letter_id)",
    "CREATE INDEX ix_requeue_runs_due ON requeue_runs (next_at) WHERE finished_at IS NULL",
    "CREATE INDEX ix_requeue_runs_finished_at ON requeue_runs (finished_at) WHERE finished_at IS NOT NULL",
    "CREATE INDEX ix_audit_log_at ON audit_log (at)",
    "CREATE INDEX ix_audit_log_actor ON audit_log (actor, id)",
    "CREATE INDEX ix_audit_log_action ON audit_log (action, id)",
    "CREATE INDEX ix_audit_log_detail ON audit_log USING gin (detail jsonb_path_ops)",
)
_NEXT_ROWS = text(
    "SELECT id, queue, error_type, error_message, substr(body, 1, :body_bytes) AS body FROM dead_letters"
    " WHERE id > :after ORDER BY id LIMIT :max_rows"
)
_FILL = text(
    "UPDATE dead_letters SET group_key = :group_key, message_shape = :message_shape,"
    " search = to_tsvector('simple', :search_text) WHERE id = :id"
)


def upgrade() -> None:
    """Add the columns and tables, and give the letters that are there already their group and their words."""
    connection = op.get_bind()
    for statement in _TABLES:
        op.execute(statement)
    after: Any = "00000000-0000-0000-0000-000000000000"
    while after is not None:
        after = _fill_some(connection, after)
    for statement in _INDEXES:
        op.execute(statement)


def _fill_some(connection: Connection, after: Any) -> Any:
    """Fill the rows that follow; returns the last one's id, or None when there were no more."""
    # One byte more than is searched: a body that is cut off is then read as text, as the drain would.
    asked = {"after": after, "max_rows": BACKFILLED_ROWS, "body_bytes": MAX_SEARCHED_BODY_BYTES + 1}
    rows = connection.execute(_NEXT_ROWS, asked).all()
    filled: list[dict[str, Any]] = []
    for row in rows:
        shape = message_shape(row.error_message)
        filled.append(
            {
                "id": row.id,
                "message_shape": shape,
                "group_key": group_key(row.queue, row.error_type, shape),
                "search_text": searchable_text(row.error_message, row.body),
            }
        )
    if filled:
        connection.execute(_FILL, filled)
    return rows[-1].id if rows else None
