"""``shipments``: look at shipments."""

from typing import Annotated

import typer

from rappit_cli.connection import DEFAULT_ROWS, AsJson, Limit, connected
from rappit_cli.output import note_more, print_json, print_table

app = typer.Typer(no_args_is_help=True, help="Look at shipments.")


@app.callback()
def shipments() -> None:
    """Look at shipments."""


@app.command("list")
def list_shipments(
    *,
    order: Annotated[str | None, typer.Option(help="Only this order's id.")] = None,
    limit: Limit = DEFAULT_ROWS,
    as_json: AsJson = False,
) -> None:
    """List shipments, the newest first."""
    with connected() as api:
        page = api.page("/shipping/shipments", {"order_id": order}, limit)
    if as_json:
        print_json(page)
        return
    print_table(
        page["items"],
        [
            ("status", "STATUS"),
            ("carrier", "CARRIER"),
            ("tracking_number", "TRACKING"),
            ("warehouse_code", "WAREHOUSE"),
            ("cost.amount", "COST"),
            ("cost.currency", ""),
            ("order_id", "ORDER"),
            ("id", "ID"),
        ],
    )
    note_more(page)
