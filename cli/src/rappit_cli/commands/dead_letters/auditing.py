"""``dead-letters audit``."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from rappit_cli.commands.dead_letters.filters import moment
from rappit_cli.commands.dead_letters.services import Across, OfServices
from rappit_cli.connection import DEFAULT_ROWS, AsJson, Limit, connected
from rappit_cli.output import note_more, print_json, print_table


def list_audit(
    *,
    service: OfServices = None,
    actor: Annotated[str | None, typer.Option(help="Only of this person.")] = None,
    action: Annotated[str | None, typer.Option(help="Only this act, for example dead_letter.requeue.")] = None,
    letter: Annotated[str | None, typer.Option(help="Only what was done to this dead letter's id.")] = None,
    since: Annotated[str | None, typer.Option(help="Since an RFC 3339 time, or 30m, 2h, 3d ago.")] = None,
    until: Annotated[str | None, typer.Option(help="Before an RFC 3339 time, or 30m, 2h, 3d ago.")] = None,
    limit: Limit = DEFAULT_ROWS,
    as_json: AsJson = False,
) -> None:
    """List who did what to dead letters, when and why, the newest first. Nobody can change it."""
    now = datetime.now(UTC)
    parameters = {
        "actor": actor,
        "action": action,
        "letter_id": letter,
        "since": moment(since, "--since", now=now) if since else None,
        "before": moment(until, "--until", now=now) if until else None,
    }
    with connected() as api:
        across = Across(api, service)
        rows, more = across.pages("/audit", parameters, limit, newest_by="at")
    if as_json:
        print_json(across.listed(rows, more=more))
    else:
        columns = [("at", "AT"), ("service", "SERVICE"), ("actor", "BY"), ("action", "ACT"), ("reason", "WHY")]
        print_table(rows, [*columns, ("organization_id", "ORGANIZATION"), ("detail", "DETAIL")])
        note_more({"next_cursor": more})
    across.finish()
