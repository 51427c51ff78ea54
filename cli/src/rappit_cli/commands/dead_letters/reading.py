"""``dead-letters list``, ``groups`` and ``show``."""

from typing import Annotated, Any

import typer

from rappit_cli.commands.dead_letters.filters import Filter, filtered
from rappit_cli.commands.dead_letters.selecting import LetterId, find_letter
from rappit_cli.commands.dead_letters.services import Across, OfServices
from rappit_cli.connection import DEFAULT_ROWS, AsJson, Limit, connected
from rappit_cli.output import member, note_more, print_facts, print_json, print_line, print_table, print_text

_LISTED = [
    ("service", "SERVICE"),
    ("queue", "QUEUE"),
    ("status", "STATUS"),
    ("error_type", "ERROR"),
    ("error_message", "MESSAGE"),
    ("failures", "FAILURES"),
    ("last_failed_at", "LAST FAILED"),
    ("id", "ID"),
]
_GROUPED = [
    ("count", "COUNT"),
    ("service", "SERVICE"),
    ("queue", "QUEUE"),
    ("error_type", "ERROR"),
    ("sample_message", "FOR EXAMPLE"),
    ("first_failed_at", "FIRST FAILED"),
    ("last_failed_at", "LAST FAILED"),
    ("sample_id", "ONE OF THEM"),
    ("group_key", "GROUP"),
]
_FACTS = [
    ("id", "Id"),
    ("service", "Service"),
    ("queue", "Queue"),
    ("event", "Event"),
    ("status", "Status"),
    ("organization_id", "Organization id"),
    ("message_id", "Message id"),
    ("trace_id", "Trace id"),
    ("group_key", "Group"),
    ("attempts", "Attempts"),
    ("failures", "Failures"),
    ("first_failed_at", "First failed at"),
    ("last_failed_at", "Last failed at"),
    ("handled_at", "Handled at"),
    ("requeued_by", "Requeued by"),
    ("requeued_at", "Requeued at"),
    ("run_id", "Requeue run"),
    ("discarded_by", "Discarded by"),
    ("discarded_at", "Discarded at"),
    ("discard_reason", "Discarded for"),
    ("links.order", "Order"),
    ("links.webhook", "Webhook"),
    ("error_type", "Error type"),
    ("error_message", "Error message"),
    ("headers", "Headers"),
]


@filtered
def list_dead_letters(
    *, wanted: Filter, service: OfServices = None, limit: Limit = DEFAULT_ROWS, as_json: AsJson = False
) -> None:
    """List dead letters of all services, the latest failure first."""
    with connected() as api:
        across = Across(api, service)
        rows, more = across.pages("/dead-letters", wanted.members, limit, newest_by="last_failed_at")
    _print_rows(across, rows, _LISTED, more=more, as_json=as_json)


@filtered
def group_dead_letters(*, wanted: Filter, service: OfServices = None, as_json: AsJson = False) -> None:
    """Count dead letters that failed alike: one queue, one error, one shape of its message; the most frequent first."""
    with connected() as api:
        across = Across(api, service)
        answers = across.each(lambda one: api.get(f"{one.letters}/groups", wanted.members)["items"])
    rows = [{**row, "service": one.value} for one, items in answers.items() for row in items]
    rows.sort(key=lambda row: int(row["count"]), reverse=True)
    _print_rows(across, rows, _GROUPED, more=False, as_json=as_json)


def show_dead_letter(
    letter_id: LetterId,
    *,
    service: OfServices = None,
    raw: Annotated[bool, typer.Option("--raw", help="Show the body as it came, not indented.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show one dead letter whole: why it failed, what was noted, its headers, stack and body."""
    with connected() as api:
        owner, letter = find_letter(Across(api, service), letter_id)
    if as_json:
        print_json(letter)
        return
    print_facts({**letter, "service": owner.value}, _FACTS)
    if letter.get("notes"):
        print_line()
        print_table(letter["notes"], [("at", "AT"), ("author", "BY"), ("text", "NOTE")], title="Notes")
    body = letter["body"] if raw or not letter.get("body_pretty") else letter["body_pretty"]
    kind = letter["content_type"] if member(letter, "body_encoding") != "base64" else "not text, in base64"
    for title, text in (("Stack", letter["error_stack"]), (f"Body ({kind})", body)):
        print_line(f"\n{title}:")
        print_text(str(text))


def _print_rows(
    across: Across, rows: list[dict[str, Any]], columns: list[tuple[str, str]], *, more: bool, as_json: bool
) -> None:
    if as_json:
        print_json(across.listed(rows, more=more))
    else:
        print_table(rows, columns)
        note_more({"next_cursor": more})
    across.finish()
