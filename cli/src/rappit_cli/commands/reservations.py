"""``inventory reservations``: what orders hold and wait for, and what to do about it."""

from typing import Annotated, Any

import typer

from rappit_cli.connection import DEFAULT_ROWS, AsJson, Limit, connected, segment
from rappit_cli.output import note_more, print_facts, print_json, print_line, print_table

app = typer.Typer(no_args_is_help=True, help="What orders hold and wait for, and what to do about it.")

OrderId = Annotated[str, typer.Argument(help="The order's id.")]
Reason = Annotated[str | None, typer.Option(help="Why; it is kept with what was done.")]


@app.command("list")
def list_reservations(
    *,
    status: Annotated[str | None, typer.Option(help="Only these: reserved, backordered, on_hold or released.")] = None,
    sku: Annotated[str | None, typer.Option(help="Only orders that hold this SKU or wait for it.")] = None,
    warehouse: Annotated[str | None, typer.Option(help="Only orders that hold units in this warehouse.")] = None,
    waiting: Annotated[
        bool | None, typer.Option("--waiting/--not-waiting", help="Only orders that wait, or only others.")
    ] = None,
    limit: Limit = DEFAULT_ROWS,
    as_json: AsJson = False,
) -> None:
    """List reservations, the newest orders first."""
    told = None if waiting is None else str(waiting).lower()
    parameters = {"status": status, "sku": sku, "warehouse_code": warehouse, "waiting": told}
    with connected() as api:
        page = api.page("/inventory/reservations", parameters, limit)
    if as_json:
        print_json(page)
        return
    rows = [
        {**row, "held": sum(x["quantity"] for x in row["allocations"]), "short": _short(row["shortages"])}
        for row in page["items"]
    ]
    print_table(
        rows,
        [
            ("status", "STATUS"),
            ("held", "HOLDS"),
            ("short", "SHORT OF"),
            ("priority", "PRIORITY"),
            ("waiting_since", "WAITS SINCE"),
            ("released_by", "RELEASED BY"),
            ("order_id", "ORDER"),
        ],
    )
    note_more(page)


@app.command("show")
def show_reservation(order_id: OrderId, *, as_json: AsJson = False) -> None:
    """Show one order's reservation whole."""
    with connected() as api:
        found = api.get(f"/inventory/reservations/{segment(order_id)}")
    _print(found, as_json=as_json)


@app.command("priority")
def set_priority(
    order_id: OrderId,
    priority: Annotated[int, typer.Argument(help="The lowest is served first; 100 is ordinary.")],
    *,
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """Put an order ahead of others that wait, or behind them. What orders hold stays theirs."""
    _act(order_id, "priority", {"priority": priority, "reason": reason}, as_json=as_json)


@app.command("release")
def release_reservation(
    order_id: OrderId,
    *,
    reason: Annotated[str, typer.Option(help="Why; orders show it to whoever asks.")],
    as_json: AsJson = False,
) -> None:
    """Take an order's units away: it waits until it is resumed, or asks for something else."""
    _act(order_id, "release", {"reason": reason}, as_json=as_json)


@app.command("resume")
def resume_reservation(order_id: OrderId, *, reason: Reason = None, as_json: AsJson = False) -> None:
    """Let a released order hold units again, at the place in line that it has kept."""
    _act(order_id, "resume", {"reason": reason}, as_json=as_json)


@app.command("move")
def move_reservation(
    order_id: OrderId,
    *,
    sku: Annotated[str, typer.Option(help="Units of which SKU.")],
    quantity: Annotated[int, typer.Option(help="How many.")],
    source: Annotated[str, typer.Option("--from", help="Code of the warehouse that holds them.")],
    target: Annotated[str, typer.Option("--to", help="Code of a warehouse that has as many free.")],
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """Have units of an order lie reserved in another warehouse."""
    body = {
        "sku": sku,
        "from_warehouse_code": source,
        "to_warehouse_code": target,
        "quantity": quantity,
        "reason": reason,
    }
    _act(order_id, "move", body, as_json=as_json)


def _act(order_id: str, act: str, body: dict[str, Any], *, as_json: bool) -> None:
    with connected() as api:
        done = api.post(f"/inventory/reservations/{segment(order_id)}/{act}", body)
    _print(done, as_json=as_json)


def _print(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    print_facts(
        found,
        [
            ("order_id", "Order"),
            ("status", "Status"),
            ("message", "Why"),
            ("waiting_since", "Waits since"),
            ("priority", "Priority"),
            ("country_code", "Country"),
            ("postal_code", "Postal code"),
        ],
    )
    for title, name, columns in (
        ("Needs", "lines", [("sku", "SKU"), ("quantity", "UNITS")]),
        ("Holds", "allocations", [("sku", "SKU"), ("warehouse_code", "WAREHOUSE"), ("quantity", "UNITS")]),
        ("What people did", "steps", [("at", "AT"), ("actor", "WHO"), ("action", "WHAT"), ("reason", "WHY")]),
    ):
        if found[name]:
            print_line()
            print_table(found[name], columns, title=title)


def _short(shortages: list[dict[str, Any]]) -> str:
    return ", ".join(f"{x['sku']} ({x['available']} of {x['requested']})" for x in shortages)
