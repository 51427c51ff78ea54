"""``inventory``: stock levels and imports."""

from typing import Annotated

import typer

from rappit_cli.commands import imports
from rappit_cli.connection import DEFAULT_ROWS, AsJson, Limit, connected
from rappit_cli.output import note_more, print_json, print_table

app = typer.Typer(no_args_is_help=True, help="Stock levels and imports.")
app.command("import")(imports.import_stock)
app.command("import-skus")(imports.import_skus)
app.command("imports")(imports.list_imports)
app.command("import-status")(imports.show_import)
app.command("import-cancel")(imports.cancel_import)
app.command("export")(imports.export_levels)


@app.command("levels")
def list_levels(
    *,
    sku: Annotated[str | None, typer.Option(help="Only this SKU.")] = None,
    warehouse: Annotated[str | None, typer.Option(help="Only this warehouse's code.")] = None,
    limit: Limit = DEFAULT_ROWS,
    as_json: AsJson = False,
) -> None:
    """List stock levels."""
    with connected() as api:
        page = api.page("/inventory/levels", {"sku": sku, "warehouse_code": warehouse}, limit)
    if as_json:
        print_json(page)
        return
    print_table(
        page["items"],
        [
            ("sku", "SKU"),
            ("warehouse_code", "WAREHOUSE"),
            ("quantity_total", "TOTAL"),
            ("quantity_reserved", "RESERVED"),
            ("quantity_available", "AVAILABLE"),
        ],
    )
    note_more(page)
