"""What became of each accepted webhook, read from the tables of those who settled it.

The one place that knows where an end is written down: orders' timeline (``cause.message_id``), its inbox and the dead
letters. A delivery log that tells a status would be read here, or compared with this.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from rappit_faults.checks.offence import Offence, Snapshot
from rappit_faults.load import Journal
from rappit_faults.plan import Expected

ACCEPT_WEBHOOK = "orders.accept-webhook"
CONSUMERS = {"orders": "orders", "inventory": "inventory", "shipping": "shipping"}
"""The services with dead letters, and their schemas."""


class Ending(StrEnum):
    """How a delivery may end."""

    APPLIED = "applied"
    SUPERSEDED = "superseded"
    IGNORED = "ignored"
    DUPLICATE = "duplicate"
    DEAD_LETTERED = "dead-lettered"


@dataclass(frozen=True, slots=True)
class End:
    """One end of a delivery, and what is told of it."""

    ending: Ending
    detail: str
    organization_id: str


_TIMELINE = """
    SELECT detail->>'message_id' AS message_id, organization_id::text, order_id::text, at,
           bool_or(kind = 'delivery_ignored') AS ignored, bool_or(kind = 'delivery_superseded') AS superseded,
           string_agg(kind, ', ' ORDER BY id) AS kinds
    FROM orders.order_events
    WHERE detail->>'message_id' = ANY($1) GROUP BY 1, 2, 3, 4
"""
_INBOX = "SELECT message_id FROM orders.inbox WHERE consumer = $1 AND message_id = ANY($2)"
_LETTERS = """
    SELECT queue, message_id, organization_id::text, error_type, error_message, status, failures
    FROM {schema}.dead_letters WHERE message_id = ANY($1)
"""


async def ends_of(snapshot: Snapshot, message_ids: Sequence[str]) -> Mapping[str, list[End]]:
    """Return every end that each message came to; exactly one is right."""
    ends: dict[str, list[End]] = defaultdict(list)
    for row in await snapshot.fetch(_TIMELINE, list(message_ids)):
        ending = Ending.IGNORED if row["ignored"] else Ending.SUPERSEDED if row["superseded"] else Ending.APPLIED
        # One row a transaction: a message that was handled twice stands here twice.
        told = f"{row['kinds']} of order {row['order_id']} at {row['at']:%H:%M:%S.%f}"
        ends[row["message_id"]].append(End(ending, told, row["organization_id"]))
    for row in await snapshot.fetch(_LETTERS.format(schema="orders"), list(message_ids)):
        if row["queue"] == ACCEPT_WEBHOOK:
            told = f"{row['error_type']}: {row['error_message']}"
            ends[row["message_id"]].append(End(Ending.DEAD_LETTERED, told, row["organization_id"] or ""))
    for row in await snapshot.fetch(_INBOX, ACCEPT_WEBHOOK, list(message_ids)):
        if row["message_id"] not in ends:
            ends[row["message_id"]].append(End(Ending.DUPLICATE, "its key was claimed before", ""))
    return ends


async def check_webhooks(snapshot: Snapshot, journal: Journal, organization_id: str) -> list[Offence]:
    """Every accepted webhook has exactly one end, the right kind of end, and of its copies one took effect."""
    ends = await ends_of(snapshot, list(journal.accepted))
    found: list[Offence] = []
    effects: dict[int, list[str]] = defaultdict(list)
    for message_id, accepted in journal.accepted.items():
        delivery, own = accepted.delivery, ends.get(message_id, [])
        offender = f"webhook {message_id}, {delivery}"
        if not own:
            found.append(Offence("lost", offender, f"accepted at {accepted.at:%H:%M:%S.%f}, and it came to no end"))
        if len(own) > 1:
            found.append(Offence("doubled", offender, "; ".join(f"{end.ending} ({end.detail})" for end in own)))
        for end in own:
            if end.organization_id not in {"", organization_id}:
                found.append(Offence("astray", offender, f"it ended with organization {end.organization_id}"))
            if (end.ending is Ending.DEAD_LETTERED) != (delivery.expected is Expected.DEAD):
                found.append(Offence("other", offender, f"should be {delivery.expected}: {end.ending} ({end.detail})"))
            if end.ending is Ending.DEAD_LETTERED and not end.detail.strip(": "):
                found.append(Offence("other", offender, "dead-lettered without a reason"))
            if end.ending in {Ending.APPLIED, Ending.SUPERSEDED, Ending.IGNORED}:
                effects[delivery.number].append(f"{message_id} {end.ending} ({end.detail})")
    by_number = {accepted.delivery.number: accepted.delivery for accepted in journal.accepted.values()}
    found += [
        Offence("doubled", str(by_number[number]), "its copies took effect more than once: " + "; ".join(told))
        for number, told in effects.items()
        if len(told) > 1
    ]
    return found


async def check_raw(snapshot: Snapshot, journal: Journal) -> list[Offence]:
    """Every unreadable message that the broker took is a dead letter of its queue, with a reason."""
    found: list[Offence] = []
    kept: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for schema in CONSUMERS.values():
        for row in await snapshot.fetch(_LETTERS.format(schema=schema), list(journal.raw)):
            kept[row["message_id"]].append((row["queue"], row["error_type"]))
    for message_id, raw in journal.raw.items():
        offender = f"raw message {message_id} to {raw.queue}"
        queues = [queue for queue, _ in kept[message_id]]
        if not queues:
            found.append(Offence("lost", offender, "it is no dead letter"))
        elif queues != [raw.queue]:
            found.append(Offence("doubled", offender, f"it is a dead letter of {', '.join(queues)}"))
        elif not kept[message_id][0][1]:
            found.append(Offence("other", offender, "dead-lettered without a reason"))
    return found


_REQUEUED = """
    SELECT l.queue, l.message_id, l.error_type FROM {schema}.dead_letters l
    LEFT JOIN {schema}.outbox o ON o.id = l.requeue_outbox_id
    WHERE l.status = 'requeued' AND (o.id IS NULL OR o.sent_at IS NOT NULL)
      AND NOT EXISTS (SELECT FROM {schema}.inbox i WHERE i.consumer = l.queue AND i.message_id = l.message_id)
"""


async def check_requeued(snapshot: Snapshot) -> list[Offence]:
    """A dead letter that counts as requeued has arrived: its consumer claimed it, or it is dead again."""
    return [
        Offence(
            "lost",
            f"requeued dead letter {row['message_id']} of {row['queue']} ({row['error_type']})",
            "marked as requeued and sent, but its consumer never saw it",
        )
        for schema in CONSUMERS.values()
        for row in await snapshot.fetch(_REQUEUED.format(schema=schema))
    ]


_POISON = frozenset({"invalid_delivery", "unknown_provider", "unreadable_body"})
_UNEXPECTED = """
    SELECT queue, message_id, organization_id::text, error_type, error_message
    FROM {schema}.dead_letters
    WHERE first_failed_at >= $1 AND NOT (message_id = ANY($2))
"""


async def check_unexpected_letters(snapshot: Snapshot, journals: Sequence[Journal], since: object) -> list[Offence]:
    """Nothing died that nobody poisoned: a message between services that is a dead letter is a bug."""
    known = [message_id for journal in journals for message_id in (*journal.accepted, *journal.raw)]
    found: list[Offence] = []
    for schema in CONSUMERS.values():
        for row in await snapshot.fetch(_UNEXPECTED.format(schema=schema), since, known):
            # A webhook whose 2xx never reached us is poison too, if it was.
            if row["queue"] == ACCEPT_WEBHOOK and row["error_type"] in _POISON:
                continue
            offender = f"message {row['message_id']} of {row['queue']} (organization {row['organization_id']})"
            found.append(Offence("other", offender, f"died: {row['error_type']}: {row['error_message'][:300]}"))
    return found
