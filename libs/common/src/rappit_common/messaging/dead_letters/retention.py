"""How long dead letters are kept."""

import functools
from datetime import datetime, timedelta

from sqlalchemy import TextClause, text

from rappit_common.database.engine import Database
from rappit_common.periodic import in_batches

PURGE_ROWS = 1_000

# The dead never leave by themselves: each is something that a merchant was told had happened and that has not. Only
# somebody who looked at it may say that it need not. Notes go with their letter.
_LETTERS = text(
    "DELETE FROM dead_letters WHERE id = ANY (ARRAY(SELECT letter.id FROM dead_letters AS letter"
    " WHERE letter.status <> 'dead' AND letter.run_state IS NULL"
    " AND coalesce(letter.discarded_at, letter.requeued_at, letter.last_failed_at) < :before"
    " AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.id = letter.requeue_outbox_id AND outbox.sent_at IS NULL)"
    " ORDER BY coalesce(letter.discarded_at, letter.requeued_at, letter.last_failed_at) LIMIT :max_rows"
    " FOR UPDATE OF letter SKIP LOCKED))"
)
_RUNS = text(
    "DELETE FROM requeue_runs WHERE id = ANY (ARRAY(SELECT id FROM requeue_runs WHERE finished_at < :before"
    " ORDER BY finished_at LIMIT :max_rows FOR UPDATE SKIP LOCKED))"
)


async def purge_settled(database: Database, *, keep_days: int, now: datetime) -> None:
    """Remove letters requeued and confirmed, letters discarded, and runs finished ``keep_days`` ago."""
    before = now - timedelta(days=keep_days)
    for statement in (_LETTERS, _RUNS):
        await in_batches(functools.partial(_remove_some, database, statement, before), PURGE_ROWS)


async def _remove_some(database: Database, statement: TextClause, before: datetime) -> int:
    async with database.engine.begin() as connection:
        removed = await connection.execute(statement, {"before": before, "max_rows": PURGE_ROWS})
    return removed.rowcount
