"""Imports as they are shown."""

from dataclasses import asdict
from typing import Any

from rappit_inventory.models import ImportRow
from rappit_inventory.schemas import ImportError_, ImportJobDetail, ImportJobRead, ImportRead
from rappit_inventory.service.take_import import Taken

_COUNTS = ("total", "succeeded", "failed", "created", "updated", "unchanged", "created_skus", "applied")


def import_read(taken: Taken) -> ImportRead:
    """Show an import that was applied at once."""
    row = taken.row
    return ImportRead(
        import_id=row.id,
        **_counts(row),
        duration_ms=row.duration_ms or 0.0,
        errors=[ImportError_(**asdict(error)) for error in taken.errors],
        warnings=row.warnings,
    )


def job_read(row: ImportRow) -> ImportJobRead:
    """Show where an import stands."""
    return ImportJobRead(**_facts(row))


def job_detail(taken: Taken) -> ImportJobDetail:
    """Show where an import stands, with its failed rows."""
    errors = [ImportError_(**asdict(error)) for error in taken.errors]
    return ImportJobDetail(**_facts(taken.row), errors=errors)


def _counts(row: ImportRow) -> dict[str, Any]:
    summary = row.summary or {}
    return {name: summary.get(name) for name in _COUNTS}


def _facts(row: ImportRow) -> dict[str, Any]:
    same = (
        "kind",
        "status",
        "mode",
        "dry_run",
        "create_missing_skus",
        "is_job",
        "file_name",
        "file_bytes",
        "actor",
        "created_at",
        "started_at",
        "finished_at",
        "phase",
        "rows_read",
        "cancel_requested",
        "duration_ms",
        "warnings",
        "error_code",
        "error_message",
    )
    return {
        "import_id": row.id,
        "on_error": "reject_all" if row.reject_all else "apply_valid",
        "has_file": row.files_removed_at is None,
        **{name: getattr(row, name) for name in same},
        **_counts(row),
    }
