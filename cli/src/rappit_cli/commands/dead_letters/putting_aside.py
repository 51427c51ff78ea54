"""``dead-letters discard``, ``restore`` and ``note``."""

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from rappit_cli.commands.dead_letters.filters import Filter, filtered
from rappit_cli.commands.dead_letters.selecting import (
    DEFAULT_REASON,
    DryRun,
    LetterId,
    LetterIds,
    Reason,
    Yes,
    find_letter,
    make_sure,
    selected,
)
from rappit_cli.commands.dead_letters.services import Across, OfServices, Service
from rappit_cli.connection import AsJson, connected, segment
from rappit_cli.output import print_json, print_line, print_table


@dataclass(frozen=True, slots=True)
class _Deed:
    """What is done to letters.

    Attributes:
        verb: As in the API's paths.
        done: What it is called afterwards.
    """

    verb: str
    done: str
    reason: str
    dry_run: bool
    yes: bool
    as_json: bool


@filtered
def discard_dead_letters(
    letter_ids: LetterIds = None,
    *,
    wanted: Filter,
    reason: Annotated[str, typer.Option("--reason", help="Why nobody needs them, for the audit log.")],
    service: OfServices = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Put dead letters aside for good: ids, or all that a filter finds. They can be restored until they are purged."""
    _change(_Deed("discard", "discarded", reason, dry_run, yes, as_json), letter_ids, wanted, service)


@filtered
def restore_dead_letters(
    letter_ids: LetterIds = None,
    *,
    wanted: Filter,
    reason: Reason = DEFAULT_REASON,
    service: OfServices = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Make discarded letters dead again: ids, or all that a filter finds."""
    _change(_Deed("restore", "restored", reason, dry_run, yes, as_json), letter_ids, wanted, service)


def note_dead_letter(
    letter_id: LetterId,
    text: Annotated[str, typer.Argument(help="What the next person should know.")],
    *,
    service: OfServices = None,
    as_json: AsJson = False,
) -> None:
    """Write down something about a dead letter."""
    with connected() as api:
        owner, letter = find_letter(Across(api, service), letter_id)
        note = api.post(f"{owner.letters}/{segment(str(letter['id']))}/notes", {"text": text})
    if as_json:
        print_json(note)
    else:
        print_line("Noted.")


def _change(deed: _Deed, letter_ids: list[str] | None, wanted: Filter, services: list[Service] | None) -> None:
    with connected() as api:
        across = Across(api, services)
        if letter_ids and len(letter_ids) == 1 and not wanted and not deed.dry_run:
            _change_one(across, letter_ids[0], deed)
            return
        selections = selected(across, letter_ids, wanted)

        def change(service: Service, *, dry_run: bool) -> dict[str, Any]:
            asked = {**selections[service], "reason": deed.reason, "dry_run": dry_run}
            return api.post(f"{service.letters}/{deed.verb}", asked)

        answers = across.each(lambda service: change(service, dry_run=True), list(selections))
        if not deed.dry_run:
            counts = {service: int(answer["changed"]) for service, answer in answers.items()}
            make_sure(deed.verb.capitalize(), counts, yes=deed.yes)
            meant = [service for service, count in counts.items() if count]
            answers = across.each(lambda service: change(service, dry_run=False), meant)
    _print_changed(across, deed, answers)
    across.finish()


def _change_one(across: Across, letter_id: str, deed: _Deed) -> None:
    owner, letter = find_letter(across, letter_id)
    changed = across.api.post(f"{owner.letters}/{segment(str(letter['id']))}/{deed.verb}", {"reason": deed.reason})
    if deed.as_json:
        print_json(changed)
    else:
        print_line(f"{letter_id} is {deed.done}.")


def _print_changed(across: Across, deed: _Deed, answers: dict[Service, dict[str, Any]]) -> None:
    rows = [{**answer, "service": service.value} for service, answer in answers.items()]
    if deed.as_json:
        print_json(across.listed(rows))
        return
    heading = f"WOULD BE {deed.done.upper()}" if deed.dry_run else deed.done.upper()
    print_table(rows, [("service", "SERVICE"), ("matched", "MEANT"), ("changed", heading)])
