"""Imports and exports of stock, which are commands of ``inventory``."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from rappit_cli.client import Api
from rappit_cli.connection import DEFAULT_ROWS, AsJson, Limit, connected, segment
from rappit_cli.errors import CliError
from rappit_cli.output import note_more, print_facts, print_json, print_line, print_table

SHOWN_ERRORS = 100
POLL_S = 0.5
RUNNING = ("queued", "running")
BAD_ENDS = ("rejected", "failed", "cancelled")

CsvFile = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)]
OnError = Annotated[str | None, typer.Option(help="What one bad row does: apply_valid (the default) or reject_all.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen, and change nothing.")]
AsJob = Annotated[bool, typer.Option("--async", help="Have a worker apply it; large files always are.")]
Follow = Annotated[bool, typer.Option("--follow/--no-follow", help="Wait for the end of what a worker applies.")]
ErrorsTo = Annotated[Path | None, typer.Option(help="Where to write the failed rows, to mend and send them again.")]
Key = Annotated[str | None, typer.Option(help="An idempotency key: repeated with it, the file is applied once.")]


def import_stock(  # noqa: PLR0913 - each is an option of the command
    file: CsvFile,
    *,
    mode: Annotated[str | None, typer.Option(help="set (the default): on hand becomes it; add: grows by it.")] = None,
    on_error: OnError = None,
    dry_run: DryRun = False,
    create_missing: Annotated[bool, typer.Option("--create-missing", help="Add SKUs that are not known.")] = False,
    as_job: AsJob = False,
    follow: Follow = True,
    errors_to: ErrorsTo = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Set stock levels from a CSV file with the columns sku, quantity, warehouse_code.

    Bad rows are reported, the good ones count; ends with 1 when a row was bad.
    """
    asked = {
        "mode": mode,
        "on_error": on_error,
        "dry_run": _flag(dry_run),
        "create_missing_skus": _flag(create_missing),
        "async": _flag(as_job),
    }
    _import("/inventory/bulk", file, asked, key, follow=follow, errors_to=errors_to, as_json=as_json)


def import_skus(  # noqa: PLR0913 - each is an option of the command
    file: CsvFile,
    *,
    mode: Annotated[str | None, typer.Option(help="create, update, or upsert (the default) for both.")] = None,
    on_error: OnError = None,
    dry_run: DryRun = False,
    as_job: AsJob = False,
    follow: Follow = True,
    errors_to: ErrorsTo = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Add and change SKUs from a CSV file with the column sku and any others of the catalogue."""
    asked = {"mode": mode, "on_error": on_error, "dry_run": _flag(dry_run), "async": _flag(as_job)}
    _import("/inventory/skus/import", file, asked, key, follow=follow, errors_to=errors_to, as_json=as_json)


def list_imports(*, limit: Limit = DEFAULT_ROWS, as_json: AsJson = False) -> None:
    """List imports, newest first."""
    with connected() as api:
        page = api.page("/inventory/imports", {}, limit)
    if as_json:
        print_json(page)
        return
    columns = ("created_at", "kind", "status", "file_name", "total", "failed", "actor", "import_id")
    print_table(page["items"], [(name, name.removesuffix("_at").replace("_", " ").upper()) for name in columns])
    note_more(page)


def show_import(import_id: str, *, follow: Follow = False, errors_to: ErrorsTo = None, as_json: AsJson = False) -> None:
    """Show where an import stands, and the rows that failed."""
    with connected() as api:
        result = api.get(f"/inventory/imports/{segment(import_id)}")
        if follow:
            result = _followed(api, result)
        _save_errors(api, result, errors_to)
    _show(result, as_json=as_json)


def cancel_import(import_id: str) -> None:
    """Cancel an import that waits or runs: it changes nothing."""
    with connected() as api:
        result = api.post(f"/inventory/imports/{segment(import_id)}/cancel")
    print_line("Cancelled." if result["status"] == "cancelled" else "The worker was asked to stop.")


def export_levels(
    *,
    warehouse: Annotated[str | None, typer.Option(help="Only this warehouse's code.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where to; standard output if not.")] = None,
) -> None:
    """Write all stock levels as a CSV that can be edited and imported again."""
    with connected() as api:
        content = api.request("GET", "/inventory/levels/export", parameters={"warehouse_code": warehouse}).content
    if output is None:
        typer.echo(content, nl=False)
    else:
        _write(output, content)


def _import(
    path: str,
    file: Path,
    asked: dict[str, str | None],
    key: str | None,
    *,
    follow: bool,
    errors_to: Path | None,
    as_json: bool,
) -> None:
    headers = {"Idempotency-Key": key} if key else {}
    with connected() as api:
        result = api.upload(path, lambda: file.open("rb"), "text/csv", parameters=asked, headers=headers)
        if follow and result.get("status") in RUNNING:
            result = _followed(api, result)
        _save_errors(api, result, errors_to)
    _show(result, as_json=as_json)


def _followed(api: Api, result: dict[str, Any]) -> dict[str, Any]:
    said = ""
    while result["status"] in RUNNING:
        now = f"{result['phase']}: {result['rows_read']:,} rows read"
        if now != said:
            typer.echo(now, err=True)
            said = now
        time.sleep(POLL_S)
        result = api.get(f"/inventory/imports/{result['import_id']}")
    return result


def _save_errors(api: Api, result: dict[str, Any], errors_to: Path | None) -> None:
    if errors_to is not None and result.get("failed"):
        _write(errors_to, api.request("GET", f"/inventory/imports/{result['import_id']}/errors.csv").content)


def _show(result: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(result)
    elif result.get("total") is None:
        names = ("import_id", "status", "phase", "rows_read", "error_code", "error_message")
        print_facts(result, [(name, name.replace("_", " ").capitalize()) for name in names])
    else:
        _print_result(result)
    if result.get("failed") or result.get("status") in BAD_ENDS:
        raise typer.Exit(1)


def _print_result(result: dict[str, Any]) -> None:
    print_line(
        f"{result['total']} rows: {result['succeeded']} succeeded ({result['created']} created, "
        f"{result['updated']} updated, {result['unchanged']} unchanged), {result['failed']} failed, "
        f"in {result['duration_ms']} ms."
    )
    if not result["applied"]:
        print_line("Nothing was changed.")
    for warning in result["warnings"]:
        print_line(warning)
    errors = result.get("errors") or []
    if errors:
        columns = [("line", "LINE"), ("field", "FIELD"), ("value", "VALUE"), ("message", "REASON"), ("code", "CODE")]
        print_table(errors[:SHOWN_ERRORS], columns, title="Failed rows")
    hidden = max(int(result["failed"]), len(errors)) - min(len(errors), SHOWN_ERRORS)
    if hidden > 0:
        print_line(f"… and {hidden} more.")


def _flag(given: bool) -> str | None:  # noqa: FBT001 - as it was typed
    return "true" if given else None


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise CliError(f"{path} cannot be written: {error.strerror}.") from error
