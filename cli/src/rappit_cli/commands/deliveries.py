"""``deliveries``: what reached your channels, what became of it, and running it again."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from rappit_cli.connection import DEFAULT_ROWS, AsJson, Limit, connected, segment
from rappit_cli.errors import CliError
from rappit_cli.output import note_more, print_facts, print_json, print_line, print_table

PATH = "/channels/deliveries"


class Status(StrEnum):
    """Where a delivery stands."""

    ACCEPTED = "accepted"
    APPLIED = "applied"
    SUPERSEDED = "superseded"
    DUPLICATE = "duplicate"
    IGNORED = "ignored"
    DEAD_LETTERED = "dead_lettered"
    REJECTED = "rejected"


OfChannel = Annotated[str | None, typer.Option("--channel", help="Only this channel's id.")]
OfTopic = Annotated[str | None, typer.Option("--topic", help="Only this topic, for example orders/create.")]
OfStatus = Annotated[Status | None, typer.Option("--status", help="Only those that stand so.")]
OfCause = Annotated[str | None, typer.Option("--cause", help="Only rejected or dead-lettered for this.")]
OfExternalId = Annotated[str | None, typer.Option("--external-id", help="Only the shop's own id of an order.")]
Since = Annotated[str | None, typer.Option(help="Only received at this time or later: 2026-11-20T09:00:00Z.")]
Before = Annotated[str | None, typer.Option(help="Only received earlier.")]

app = typer.Typer(no_args_is_help=True, help="What reached your channels, and what became of it.")


@app.command("list")
def list_deliveries(  # noqa: PLR0913 - an argument is an option
    *,
    channel: OfChannel = None,
    topic: OfTopic = None,
    status: OfStatus = None,
    cause: OfCause = None,
    external_id: OfExternalId = None,
    since: Since = None,
    before: Before = None,
    limit: Limit = DEFAULT_ROWS,
    as_json: AsJson = False,
) -> None:
    """List deliveries, the newest first."""
    with connected() as api:
        page = api.page(PATH, _filter(channel, topic, status, cause, external_id, since, before), limit)
    if as_json:
        print_json(page)
        return
    columns = [("received_at", "RECEIVED"), ("status", "STATUS"), ("cause", "CAUSE"), ("topic", "TOPIC")]
    print_table(page["items"], [*columns, ("external_order_id", "SHOP'S ID"), ("id", "ID")])
    note_more(page)


@app.command("show")
def show_delivery(
    delivery_id: Annotated[str, typer.Argument(help="The delivery's id.")], *, as_json: AsJson = False
) -> None:
    """Show one delivery whole, with its headers and its body as long as they are kept."""
    with connected() as api:
        delivery = api.get(f"{PATH}/{segment(delivery_id)}")
    if as_json:
        print_json(delivery)
        return
    names = ["id", "channel_id", "provider", "topic", "delivery_id", "status", "cause", "detail", "external_order_id"]
    names += ["order_id", "received_at", "settled_at", "body_bytes", "spooled", "client", "left_out", "replay_of"]
    print_facts(delivery, [(name, name.replace("_", " ").capitalize()) for name in [*names, "trace_id", "headers"]])
    if delivery["body"] is not None:
        print_line(f"\nBody ({delivery['body_encoding']}):")
        print_line(_lines(str(delivery["body"])))


@app.command("replay")
def replay_deliveries(  # noqa: PLR0913 - as above
    delivery_ids: Annotated[list[str] | None, typer.Argument(help="Ids; or none, and options that choose.")] = None,
    *,
    channel: OfChannel = None,
    topic: OfTopic = None,
    status: OfStatus = None,
    cause: OfCause = None,
    external_id: OfExternalId = None,
    since: Since = None,
    before: Before = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many would run again.")] = False,
    reason: Annotated[str, typer.Option(help="Why, for the audit log.")] = "requested with the command line",
) -> None:
    """Let deliveries be evaluated anew; nothing doubles. Stops at the first that is refused."""
    given = _filter(channel, topic, status, cause, external_id, since, before)
    wanted: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if bool(delivery_ids) == bool(wanted):
        raise CliError("Give ids, or options that choose deliveries, and not both.")
    if delivery_ids and dry_run:
        raise CliError("A dry run counts what options choose: ids are as many as you give.")
    if status is not None:
        wanted["status"] = [status.value]
    with connected() as api:
        for delivery_id in delivery_ids or ():
            replay = api.post(f"{PATH}/{segment(delivery_id)}/replay", {"reason": reason})
            print_line(f"{delivery_id} runs again as {replay['id']}.")
        cursor: str | None = None
        totals = {"matched": 0, "replayed": 0, "under_way": 0, "without_body": 0}
        while wanted:
            body = {"filter": wanted, "dry_run": dry_run, "reason": reason, "cursor": cursor}
            done = api.post(f"{PATH}/replays", body)
            totals = {name: count + done[name] for name, count in totals.items()}
            cursor = done["next_cursor"]
            if cursor is None:
                break
    if wanted:
        verb = "would run again" if dry_run else "run again"
        print_line(
            f"{totals['replayed']} of {totals['matched']} deliveries {verb}; {totals['under_way']} are under way"
            f" already, the bodies of {totals['without_body']} are not kept any more."
        )


def _filter(*values: str | None) -> dict[str, str | int | None]:
    names = ("channel_id", "topic", "status", "cause", "external_order_id", "since", "before")
    return {name: None if value is None else str(value) for name, value in zip(names, values, strict=True)}


def _lines(text: str) -> str:
    # Line ends and tabs are the body's own; any other control character could steer the terminal.
    return "".join(character if character.isprintable() or character in "\n\t" else "\ufffd" for character in text)
