"""Quiet: whatever had to be sent is sent, and no queue holds anything."""

from rappit_faults.checks.offence import Offence, Snapshot
from rappit_faults.stack import SCHEMAS, Playground

_UNSENT = "SELECT event, message_id, failures, last_error FROM {schema}.outbox WHERE sent_at IS NULL LIMIT 20"
_LAG = "SELECT coalesce(extract(epoch FROM max(now() - created_at)), 0) FROM {schema}.outbox WHERE sent_at IS NULL"


async def check_outboxes(snapshot: Snapshot) -> list[Offence]:
    """Every outbox row was sent."""
    return [
        Offence(
            "undrained",
            f"outbox row {row['message_id']} ({row['event']}) of {schema}",
            f"not sent after {row['failures']} failures: {row['last_error'] or 'not tried yet'}",
        )
        for schema in SCHEMAS
        for row in await snapshot.fetch(_UNSENT.format(schema=schema))
    ]


async def check_queues(playground: Playground) -> list[Offence]:
    """Main, retry and dead-letter queues are empty."""
    return [
        Offence("undrained", f"queue {name}", f"it holds {count} messages")
        for name, count in (await playground.queues()).items()
        if count
    ]


async def outbox_lag_s(snapshot: Snapshot) -> float:
    """Return how long the oldest unsent row of any service has waited."""
    return max([float(await snapshot.fetchval(_LAG.format(schema=schema))) for schema in SCHEMAS])
