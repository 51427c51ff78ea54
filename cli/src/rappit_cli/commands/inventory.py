"""``inventory``: stock levels, their verification, imports, reservations, and holds."""

from typing import Annotated, Any

import typer

from rappit_cli.commands import holds, imports, reservations
from rappit_cli.connection import DEFAULT_ROWS, AsJson, Limit, connected
from rappit_cli.output import note_more, print_json, print_line, print_table

app = typer.Typer(no_args_is_help=True, help="Stock levels, imports, reservations and holds.")
app.add_typer(reservations.app, name="reservations")
app.add_typer(holds.app, name="holds")
app.command("import")(imports.import_stock)
app.command("import-skus")(imports.import_skus)
app.command("imports")(imports.list_imports)
app.command("import-status")(imports.show_import)
app.command("import-cancel")(imports.cancel_import)
app.command("export")(imports.export_levels)


@app.command("verify")
def verify_stock(
    *,
    repair: Annotated[bool, typer.Option("--repair", help="Put right what drifted; the ledger says by whom.")] = False,
    sku: Annotated[list[str] | None, typer.Option(help="Only this SKU; may be given again.")] = None,
    reason: Annotated[str, typer.Option(help="Why, for the ledger.")] = "requested with the command line",
    as_json: AsJson = False,
) -> None:
    """Compare stock levels with the ledger and with what is held. Ends with 1 when some are left that differ."""
    result: dict[str, Any] = {"levels": 0, "found": 0, "drifts": [], "repaired": 0, "unrepairable": []}
    cursor: str | None = None
    with connected() as api:
        while True:
            body = {"skus": sku or None, "repair": repair, "reason": reason, "cursor": cursor}
            step = api.post("/inventory/verifications", body)
            result = {name: total + step[name] for name, total in result.items()}
            cursor = step["next_cursor"]
            if cursor is None:
                break
    if as_json:
        print_json(result)
    else:
        _print_verification(result)
    if result["found"] > result["repaired"]:
        raise typer.Exit(1)


def _print_verification(result: dict[str, Any]) -> None:
    print_line(f"{result['levels']} levels: {result['found']} differ, {result['repaired']} repaired.")
    if not result["drifts"]:
        return
    columns = [("sku", "SKU"), ("warehouse_code", "WAREHOUSE")]
    for part in ("total", "reserved", "damaged", "quarantined"):
        columns += [(f"found.{part}", part.upper()), (f"expected.{part}", "SHOULD BE")]
    print_table(result["drifts"], columns, title="Levels that differ")
    if result["unrepairable"]:
        unsound = result["unrepairable"][: imports.SHOWN_ERRORS]
        codes = ", ".join(f"{x['sku']} in {x['warehouse_code']}" for x in unsound)
        print_line(f"Count the shelves of {codes}: more is promised or set aside there than there is.")


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
