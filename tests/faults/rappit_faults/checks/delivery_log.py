"""A second witness of each webhook's end: the gateway's delivery log, told by an event of orders (ADR 11)."""

from rappit_faults.checks.offence import Offence, Snapshot
from rappit_faults.checks.terminal import Ending, ends_of
from rappit_faults.load import Journal

_LOGGED = "SELECT id::text, status, cause FROM gateway.webhook_deliveries WHERE id::text = ANY($1)"
_STATUS = {
    Ending.APPLIED: "applied",
    Ending.SUPERSEDED: "superseded",
    Ending.IGNORED: "ignored",
    Ending.DUPLICATE: "duplicate",
    Ending.DEAD_LETTERED: "dead_lettered",
}


async def check_delivery_log(snapshot: Snapshot, journal: Journal) -> list[Offence]:
    """The log says of each accepted webhook what orders' own tables say, and why a dead one died."""
    ends = await ends_of(snapshot, list(journal.accepted))
    logged = {row["id"]: row for row in await snapshot.fetch(_LOGGED, list(journal.accepted))}
    found: list[Offence] = []
    for message_id, accepted in journal.accepted.items():
        offender = f"log of webhook {message_id}, {accepted.delivery}"
        row, own = logged.get(message_id), ends.get(message_id, [])
        if row is None:
            found.append(Offence("other", offender, "the delivery log does not know it"))
        elif len(own) == 1 and row["status"] != _STATUS[own[0].ending]:
            found.append(Offence("other", offender, f"it says {row['status']}, orders says {own[0].ending}"))
        elif row["status"] == "dead_lettered" and not row["cause"]:
            found.append(Offence("other", offender, "it says dead_lettered, and no cause"))
    return found
