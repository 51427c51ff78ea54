"""``dead-letters``: messages that failed, across the services that have any."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from rappit_cli.client import Api
from rappit_cli.connection import DEFAULT_ROWS, AsJson, Limit, connected, segment
from rappit_cli.errors import ApiError, CliError
from rappit_cli.output import note_more, print_facts, print_json, print_line, print_table

NOT_FOUND = 404


class Service(StrEnum):
    """A service that consumes messages; also its path."""

    ORDERS = "orders"
    INVENTORY = "inventory"
    SHIPPING = "shipping"


class Status(StrEnum):
    """Where a dead letter stands."""

    DEAD = "dead"
    REQUEUEING = "requeueing"
    REQUEUED = "requeued"


OfService = Annotated[Service | None, typer.Option("--service", help="Only this service.")]

app = typer.Typer(no_args_is_help=True, help="Messages that failed, for operators.")


@app.command("list")
def list_dead_letters(
    *,
    service: OfService = None,
    status: Annotated[Status | None, typer.Option(help="Only those that stand so.")] = None,
    queue: Annotated[str | None, typer.Option(help="Only this queue's.")] = None,
    limit: Limit = DEFAULT_ROWS,
    as_json: AsJson = False,
) -> None:
    """List dead letters of all services, the latest failure first."""
    parameters = {"status": status.value if status else None, "queue": queue}
    with connected() as api:
        pages = [api.page(_path(one), parameters, limit) for one in _asked(service)]
    found: list[dict[str, Any]] = [item for page in pages for item in page["items"]]
    found.sort(key=lambda letter: str(letter["last_failed_at"]), reverse=True)
    more = len(found) > limit or any(page["next_cursor"] for page in pages)
    if as_json:
        print_json({"items": found[:limit], "more": more})
        return
    print_table(
        found[:limit],
        [
            ("queue", "QUEUE"),
            ("status", "STATUS"),
            ("error_type", "ERROR"),
            ("error_message", "MESSAGE"),
            ("failures", "FAILURES"),
            ("last_failed_at", "LAST FAILED"),
            ("id", "ID"),
        ],
    )
    note_more({"next_cursor": more})


@app.command("show")
def show_dead_letter(
    letter_id: Annotated[str, typer.Argument(help="The dead letter's id.")],
    *,
    service: OfService = None,
    as_json: AsJson = False,
) -> None:
    """Show one dead letter whole: why it failed, its headers and its body."""
    with connected() as api:
        letter = _find(api, letter_id, service)[1]
    if as_json:
        print_json(letter)
        return
    names = ["id", "queue", "event", "status", "organization_id", "message_id", "trace_id", "attempts", "failures"]
    names += ["first_failed_at", "last_failed_at", "requeued_by", "error_type", "error_message", "headers"]
    print_facts(letter, [(name, name.replace("_", " ").capitalize()) for name in names])
    for name, title in (("error_stack", "Stack"), ("body", f"Body ({letter['content_type']})")):
        print_line(f"\n{title}:")
        print_line(_lines(str(letter[name])))


@app.command("requeue")
def requeue_dead_letters(
    letter_ids: Annotated[list[str], typer.Argument(help="One id or several.")],
    *,
    service: OfService = None,
    body: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Send this file's text instead of what failed; one id only."),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why, for the audit log.")] = "requested with the command line",
) -> None:
    """Send dead letters back to their queues. Stops at the first that is refused."""
    if body is not None and len(letter_ids) > 1:
        raise CliError("A mended body is for one dead letter: give one id.")
    how = {"reason": reason} if body is None else {"reason": reason, "body": _text_of(body)}
    with connected() as api:
        for letter_id in letter_ids:
            owner, _ = _find(api, letter_id, service)
            letter = api.post(f"{_path(owner)}/{segment(letter_id)}/requeue", how)
            print_line(f"{letter_id} goes back to {letter['queue']}.")


def _asked(service: Service | None) -> list[Service]:
    return list(Service) if service is None else [service]


def _path(service: Service) -> str:
    return f"/{service.value}/ops/dead-letters"


def _find(api: Api, letter_id: str, service: Service | None) -> tuple[Service, dict[str, Any]]:
    refusal: ApiError | None = None
    for one in _asked(service):
        try:
            return one, api.get(f"{_path(one)}/{segment(letter_id)}")
        except ApiError as error:
            if error.status != NOT_FOUND:
                raise
            refusal = error
    raise refusal or CliError(f"There is no dead letter {letter_id}.")


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CliError(f"{file} is not UTF-8 text.") from error


def _lines(text: str) -> str:
    # Line ends and tabs are the body's own; any other control character could steer the terminal.
    return "".join(character if character.isprintable() or character in "\n\t" else "\ufffd" for character in text)
