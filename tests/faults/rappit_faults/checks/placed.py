"""Orders by the API: each request under one key was done once, and answered alike each time it was repeated."""

from collections import defaultdict

from rappit_faults.checks.offence import Offence, Snapshot
from rappit_faults.load import Journal

_KEYS = """
    SELECT key FROM orders.idempotency_keys
    WHERE organization_id::text = $1 AND operation = 'POST /orders' AND key = ANY($2) AND answer IS NOT NULL
"""
# A transaction's rows bear one moment: a request that was acted on twice stands here twice.
_ACTS = """
    SELECT DISTINCT detail->>'idempotency_key' AS key, at FROM orders.order_events
    WHERE organization_id::text = $1 AND detail->>'idempotency_key' = ANY($2)
"""


async def check_placed(snapshot: Snapshot, journal: Journal, organization_id: str) -> list[Offence]:
    """Every request that was answered with success is remembered, took effect once, and told every copy the same."""
    keys = list(journal.placed)
    remembered = {row["key"] for row in await snapshot.fetch(_KEYS, organization_id, keys)}
    acts: dict[str, list[str]] = defaultdict(list)
    for row in await snapshot.fetch(_ACTS, organization_id, keys):
        acts[row["key"]].append(f"{row['at']:%H:%M:%S.%f}")
    found: list[Offence] = []
    for key, placed in journal.placed.items():
        offender = f"request {key}, {placed.delivery}"
        if key not in remembered:
            found.append(Offence("lost", offender, "answered with success, and its key is not remembered"))
        if len(acts[key]) > 1:
            found.append(Offence("doubled", offender, f"it took effect at {' and at '.join(sorted(acts[key]))}"))
        if len(placed.answers) > 1:
            found.append(Offence("doubled", offender, f"its copies were answered in {len(placed.answers)} ways"))
    return found
