"""``inventory holds``: stock kept for carts, and by hand."""

import uuid
from typing import Annotated, Any

import typer

from rappit_cli.connection import DEFAULT_ROWS, AsJson, Limit, connected, segment
from rappit_cli.output import note_more, print_facts, print_json, print_line, print_table

app = typer.Typer(no_args_is_help=True, help="Stock kept for carts, and by hand.")

HoldId = Annotated[str, typer.Argument(help="The hold's id.")]
ExpiresIn = Annotated[
    int | None, typer.Option("--expires-in", min=60, metavar="SECONDS", help="From now; else as its kind does.")
]


@app.command("list")
def list_holds(
    *,
    kind: Annotated[str | None, typer.Option(help="cart or manual.")] = None,
    state: Annotated[str | None, typer.Option(help="active, promised, converted, released or expired.")] = None,
    sku: Annotated[str | None, typer.Option(help="Only holds of this SKU.")] = None,
    limit: Limit = DEFAULT_ROWS,
    as_json: AsJson = False,
) -> None:
    """List holds, newest first."""
    with connected() as api:
        page = api.page("/inventory/holds", {"kind": kind, "state": state, "sku": sku}, limit)
    if as_json:
        print_json(page)
        return
    rows = [{**hold, "units": _units(hold)} for hold in page["items"]]
    columns = [("kind", "KIND"), ("state", "STATE"), ("units", "UNITS"), ("expires_at", "EXPIRES")]
    print_table(rows, [*columns, ("reason", "REASON"), ("created_by", "BY"), ("id", "ID")])
    note_more(page)


@app.command("create")
def create_hold(
    lines: Annotated[list[str], typer.Argument(metavar="SKU=QUANTITY", help="What to keep; all of it, or nothing.")],
    *,
    kind: Annotated[str, typer.Option(help="manual, or cart.")] = "manual",
    warehouse: Annotated[str | None, typer.Option(help="Only from this warehouse's code.")] = None,
    expires_in: ExpiresIn = None,
    reason: Annotated[str | None, typer.Option(help="Why; a manual hold needs one.")] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="Yours for this request, so that again holds nothing twice.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Keep stock from everybody else until it is released, or for a time."""
    body = {
        "kind": kind,
        "lines": [_line(text) for text in lines],
        "warehouse_code": warehouse,
        "expires_in_s": expires_in,
        "reason": reason,
    }
    headers = {"Idempotency-Key": idempotency_key or f"rappit-cli-{uuid.uuid4()}"}
    with connected() as api:
        hold = api.request("POST", "/inventory/holds", json=body, headers=headers).json()
    _print(hold, as_json=as_json)


@app.command("release")
def release_hold(hold_id: HoldId, *, as_json: AsJson = False) -> None:
    """Make a hold's units free."""
    with connected() as api:
        hold = api.post(f"/inventory/holds/{segment(hold_id)}/release")
    _print(hold, as_json=as_json)


@app.command("extend")
def extend_hold(hold_id: HoldId, *, expires_in: ExpiresIn = None, as_json: AsJson = False) -> None:
    """Give a hold more time, counted from now; without a time, a manual one lasts until it is released."""
    with connected() as api:
        hold = api.post(f"/inventory/holds/{segment(hold_id)}/extend", {"expires_in_s": expires_in})
    _print(hold, as_json=as_json)


def _line(text: str) -> dict[str, Any]:
    sku, found, quantity = text.rpartition("=")
    if not found or not quantity.strip().isdecimal():
        raise typer.BadParameter(f"{text} is not SKU=QUANTITY, for example TEE-M=3")
    return {"sku": sku, "quantity": int(quantity)}


def _units(hold: dict[str, Any]) -> str:
    return ", ".join(f"{line['quantity']} {line['sku']} in {line['warehouse_code']}" for line in hold["lines"])


def _print(hold: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(hold)
        return
    print_line(f"{_units(hold)}: {hold['state']}.")
    names = [("id", "Id"), ("kind", "Kind"), ("reason", "Reason"), ("expires_at", "Expires"), ("ended_at", "Ended")]
    print_facts(hold, [*names, ("order_id", "Order")])
