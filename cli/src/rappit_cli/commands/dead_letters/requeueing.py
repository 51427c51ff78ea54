"""``dead-letters requeue``: one letter, with an edit or without; or many, in runs that stop by themselves."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from rappit_cli.client import Api
from rappit_cli.commands.dead_letters.editing import edited, text_of
from rappit_cli.commands.dead_letters.filters import Filter, filtered
from rappit_cli.commands.dead_letters.runs import Follow, end_by, followed, print_runs
from rappit_cli.commands.dead_letters.selecting import (
    DEFAULT_REASON,
    DryRun,
    LetterIds,
    Reason,
    Selection,
    Yes,
    ask,
    find_letter,
    make_sure,
    selected,
)
from rappit_cli.commands.dead_letters.services import Across, OfServices, Service
from rappit_cli.connection import AsJson, connected, segment
from rappit_cli.errors import ApiError, CliError
from rappit_cli.output import print_facts, print_json, print_line, print_table, print_text

MAX_RATE_PER_S = 1_000


@dataclass(frozen=True, slots=True)
class _How:
    """What was said besides which letters."""

    reason: str
    dry_run: bool
    yes: bool
    as_json: bool


@filtered
def requeue_dead_letters(  # noqa: PLR0913 - a command's options are its parameters
    letter_ids: LetterIds = None,
    *,
    wanted: Filter,
    service: OfServices = None,
    body_file: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Send this file's text instead of what failed; one id only."),
    ] = None,
    edit: Annotated[
        bool, typer.Option("--edit", help="Edit what failed in $EDITOR, see the difference, then send; one id only.")
    ] = False,
    dry_run: DryRun = False,
    reason: Reason = DEFAULT_REASON,
    canary: Annotated[
        bool, typer.Option("--canary/--no-canary", help="Several: send one, then ten, then the rest.")
    ] = True,
    rate: Annotated[
        int, typer.Option("--rate", min=1, max=MAX_RATE_PER_S, help="Several: letters a second at most.")
    ] = 50,
    follow: Follow = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Send dead letters back to their queues: one id, or several ids or a filter as a run of each service.

    A run sends one letter, then ten, then the rest, and stops when one fails again. Try --dry-run first: it says what
    would be sent where.
    """
    alone = bool(letter_ids) and len(set(letter_ids or ())) == 1 and not wanted and not follow
    if (edit or body_file is not None) and not alone:
        raise CliError("A mended body is for one dead letter: give one id, no filter, and do not --follow.")
    if edit and body_file is not None:
        raise CliError("Give --edit or --body-file, not both.")
    how = _How(reason, dry_run, yes, as_json)
    with connected() as api:
        across = Across(api, service)
        if alone and letter_ids:
            body = None if body_file is None else text_of(body_file)
            _requeue_one(across, letter_ids[0], how, body=body, edit=edit)
            return
        asked = {"reason": reason, "canary": canary, "rate_per_s": rate}
        _requeue_many(across, selected(across, letter_ids, wanted), asked, how, follow=follow)


def _requeue_one(across: Across, letter_id: str, how: _How, *, body: str | None, edit: bool) -> None:
    service, letter = find_letter(across, letter_id)
    path = f"{service.letters}/{segment(str(letter['id']))}/requeue"
    asked: dict[str, Any] = {"reason": how.reason} if body is None else {"reason": how.reason, "body": body}
    preview: dict[str, Any] = {}
    if edit:
        body, preview = edited(letter, lambda text: across.api.post(path, {**asked, "body": text, "dry_run": True}))
        asked["body"] = body
    elif how.dry_run:
        preview = across.api.post(path, {**asked, "dry_run": True})
    if preview and not how.as_json:
        _print_preview(preview)
    if how.dry_run:
        if how.as_json:
            print_json(preview)
        return
    if edit:
        ask("Send it like this?", yes=how.yes)
    sent = across.api.post(path, asked)
    if how.as_json:
        print_json(sent)
    else:
        print_line(f"{letter_id} goes back to {sent['queue']}.")


def _print_preview(preview: Mapping[str, Any]) -> None:
    sent = preview["would_send"]
    print_facts(
        {**sent, "exchange": sent["exchange"] or "(the default exchange)"},
        [
            ("exchange", "Exchange"),
            ("routing_key", "Routing key"),
            ("message_id", "Message id"),
            ("headers", "Headers"),
        ],
    )
    if preview.get("diff"):
        print_line()
        print_text("\n".join(preview["diff"]))


def _requeue_many(
    across: Across, selections: dict[Service, Selection], asked: dict[str, Any], how: _How, *, follow: bool
) -> None:
    previews = across.each(
        lambda service: _run(across.api, service, {**asked, **selections[service], "dry_run": True}), list(selections)
    )
    counts = {service: int(preview["total"]) for service, preview in previews.items()}
    if how.dry_run:
        _print_destinations(across, previews, as_json=how.as_json)
        across.finish()
        return
    make_sure("Requeue", counts, yes=how.yes)
    meant = [service for service, count in counts.items() if count]
    begun = across.each(lambda service: _run(across.api, service, {**asked, **selections[service]}), meant)
    # In the time of the question somebody else may have requeued them all.
    runs = {service: run for service, run in begun.items() if "id" in run}
    if follow:
        runs = followed(across.api, runs)
    if how.as_json:
        print_json(across.listed(list(runs.values())))
    else:
        print_runs(runs)
    end_by(runs)
    across.finish()


def _run(api: Api, service: Service, asked: dict[str, Any]) -> dict[str, Any]:
    try:
        return api.post(f"{service.ops}/requeue-runs", asked)
    except ApiError as error:
        if error.code != "nothing_to_requeue":
            raise
        return {"total": 0, "destinations": [], "sample_ids": []}


def _print_destinations(across: Across, previews: Mapping[Service, dict[str, Any]], *, as_json: bool) -> None:
    rows = [
        {**destination, "service": service.value}
        for service, preview in previews.items()
        for destination in preview["destinations"]
    ]
    total = sum(int(preview["total"]) for preview in previews.values())
    if as_json:
        samples = [sample for preview in previews.values() for sample in preview["sample_ids"]]
        print_json({"total": total, "destinations": rows, "sample_ids": samples, "away": across.listed([])["away"]})
        return
    print_table(rows, [("service", "SERVICE"), ("queue", "QUEUE"), ("event", "EVENT"), ("count", "COUNT")])
    print_line(f"{total} dead letters would be sent.")
