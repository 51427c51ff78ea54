"""Which letters a command acts on, and whether the person is sure."""

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from rappit_cli.commands.dead_letters.filters import Filter
from rappit_cli.commands.dead_letters.services import Across, Found, Service
from rappit_cli.connection import segment
from rappit_cli.errors import CliError

DEFAULT_REASON = "requested with the command line"

LetterId = Annotated[str, typer.Argument(help="The dead letter's id.")]
LetterIds = Annotated[list[str] | None, typer.Argument(help="One id or several; or filter options instead.")]
Reason = Annotated[str, typer.Option("--reason", help="Why, for the audit log.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen, and do nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask, however many they are.")]

Selection = dict[str, Any]


def find_letter(across: Across, letter_id: str) -> Found:
    """Return whose a letter is, and the letter whole."""
    return across.find(lambda service: f"{service.letters}/{segment(letter_id)}")


def selected(across: Across, letter_ids: Sequence[str] | None, wanted: Filter) -> dict[Service, Selection]:
    """Return what each service is to act on, as its API takes it: ids of its own, or the filter.

    Raises:
        CliError: Nothing was said, or both; or an id is nobody's.
    """
    if letter_ids and wanted:
        raise CliError("Give ids or filter options, not both.")
    if wanted:
        return {service: {"filter": wanted.members} for service in across.services}
    if not letter_ids:
        raise CliError("Say which: give ids, or filter options such as --group or --queue.")
    found: dict[Service, Selection] = {}
    for letter_id in dict.fromkeys(letter_ids):
        service, letter = find_letter(across, letter_id)
        found.setdefault(service, {"ids": []})["ids"].append(letter["id"])
    return found


def make_sure(deed: str, counts: dict[Service, int], *, yes: bool) -> None:
    """Ask before more than one letter is acted on, naming how many and whose.

    Raises:
        CliError: Nothing is meant, or there is no terminal to ask.
        Abort: The person says no.
    """
    total = sum(counts.values())
    if total == 0:
        raise CliError("No dead letter is meant by that, so nothing was done.")
    if total > 1:
        whose = ", ".join(f"{service.value} {count}" for service, count in counts.items() if count)
        ask(f"{deed} {total} dead letters ({whose})?", yes=yes)


def ask(question: str, *, yes: bool) -> None:
    """Go on only when the person says yes.

    Raises:
        CliError: There is no terminal to ask.
        Abort: The person says no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise CliError(f"{question} There is no terminal to ask: say --yes.")
    typer.confirm(question, abort=True, err=True)
