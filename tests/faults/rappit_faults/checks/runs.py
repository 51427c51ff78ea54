"""Requeue runs: each comes to its end, whoever died of those who began it and those who moved it on."""

from rappit_faults.checks.offence import Offence, Snapshot
from rappit_faults.checks.terminal import CONSUMERS

_RUNS = """
    SELECT id::text, state, stage, total, sent, handled, failed, finished_at, stop_reason
    FROM {schema}.requeue_runs
"""
_WAITING = "SELECT id::text, run_id::text, run_state, status FROM {schema}.dead_letters WHERE run_state IS NOT NULL"


async def check_runs(snapshot: Snapshot) -> list[Offence]:
    """Every run is over, each letter that it sent was handled or failed, and it holds none any more."""
    found: list[Offence] = []
    for service, schema in CONSUMERS.items():
        for run in await snapshot.fetch(_RUNS.format(schema=schema)):
            offender = f"requeue run {run['id']} of {service}"
            told = f"{run['state']} in {run['stage']}, {run['sent']} of {run['total']} sent"
            if run["finished_at"] is None:
                found.append(Offence("undrained", offender, f"it is not over: {told}"))
            elif run["sent"] != run["handled"] + run["failed"]:
                ends = f"{run['handled']} handled, {run['failed']} failed again"
                found.append(Offence("lost", offender, f"{told}, but {ends} ({run['stop_reason']})"))
        for letter in await snapshot.fetch(_WAITING.format(schema=schema)):
            offender = f"dead letter {letter['id']} of {service}"
            why = f"run {letter['run_id']} still holds it, {letter['run_state']}"
            found.append(Offence("undrained", offender, why))
    return found
