"""``orders``: look at orders, and place them."""

import hashlib
import io
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

import typer

from rappit_cli.connection import DEFAULT_ROWS, AsJson, Limit, connected, segment
from rappit_cli.output import note_more, print_facts, print_json, print_line, print_table

app = typer.Typer(no_args_is_help=True, help="Look at orders, and place them.")


@app.command("list")
def list_orders(
    *,
    state: Annotated[str | None, typer.Option(help="Only this state, for example backordered.")] = None,
    channel: Annotated[str | None, typer.Option(help="Only this channel's id.")] = None,
    external_id: Annotated[str | None, typer.Option(help="Only the shop's own id.")] = None,
    limit: Limit = DEFAULT_ROWS,
    as_json: AsJson = False,
) -> None:
    """List orders, the newest first."""
    parameters = {"state": state, "channel_id": channel, "external_order_id": external_id}
    with connected() as api:
        page = api.page("/orders", parameters, limit)
    if as_json:
        print_json(page)
        return
    print_table(
        page["items"],
        [
            ("number", "NUMBER"),
            ("state", "STATE"),
            ("payment_state", "PAYMENT"),
            ("total", "TOTAL"),
            ("currency", ""),
            ("placed_at", "PLACED"),
            ("external_order_id", "SHOP'S ID"),
            ("id", "ID"),
        ],
    )
    note_more(page)


@app.command("show")
def show_order(order_id: Annotated[str, typer.Argument(help="The order's id.")], *, as_json: AsJson = False) -> None:
    """Show one order whole."""
    with connected() as api:
        order = api.get(f"/orders/{segment(order_id)}")
    if as_json:
        print_json(order)
        return
    print_facts(
        order,
        [
            ("number", "Number"),
            ("id", "Id"),
            ("external_order_id", "Shop's id"),
            ("state", "State"),
            ("hold.reason", "Held for"),
            ("hold.message", "Why"),
            ("payment_state", "Payment"),
            ("total", "Total"),
            ("currency", "Currency"),
            ("placed_at", "Placed"),
            ("updated_at", "Updated"),
            ("order_version", "Version"),
            ("customer.name", "Customer"),
            ("customer.email", "E-mail"),
            ("shipping_address.name", "Ship to"),
            ("shipping_address.line1", "Street"),
            ("shipping_address.postal_code", "Postal code"),
            ("shipping_address.city", "City"),
            ("shipping_address.country_code", "Country"),
        ],
    )
    _section(order, "lines", "Lines", ["sku", "name", "quantity", "unit_price"])
    _section(order, "allocations", "Allocated", ["sku", "warehouse_code", "quantity"])
    _section(order, "shortages", "Short of", ["sku", "requested", "available"])
    _section(order, "shipments", "Shipments", ["shipment_id", "carrier", "tracking_number", "status"])
    _section(order, "timeline", "What happened", ["at", "kind", "message", "actor"])


@app.command("create")
def create_order(
    *,
    file: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, readable=True, help="JSON: a message of Rappit's order schema.")
    ],
    idempotency_key: Annotated[
        str | None,
        typer.Option(help="Yours for this request; the file's own hash otherwise, so that again places nothing twice."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Place, change or cancel an order that comes through no channel, from a file."""
    content = file.read_bytes()
    key = idempotency_key or f"rappit-cli-{hashlib.sha256(content).hexdigest()}"
    with connected() as api:
        answer = api.request(
            "POST",
            "/orders",
            open_file=lambda: io.BytesIO(content),
            headers={"Content-Type": "application/json", "Idempotency-Key": key},
        )
    order = answer.json()
    if as_json:
        print_json(order)
        return
    if answer.status_code == HTTPStatus.OK:
        print_line("This was answered before, and nothing was done. The order was then:")
    names = [("id", "Id"), ("number", "Number"), ("external_order_id", "Your id"), ("state", "State")]
    print_facts(order, [*names, ("total", "Total"), ("currency", "Currency")])


def _section(order: dict[str, Any], member: str, title: str, columns: list[str]) -> None:
    rows = order.get(member)
    if rows:
        print_line()
        print_table(rows, [(name, name.replace("_", " ").upper()) for name in columns], title=title)
