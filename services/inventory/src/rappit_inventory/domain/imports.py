"""Imports: what may be asked of one, what becomes of it, and the refusals that a merchant can act on."""

from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from rappit_common.errors import ConflictError, InvalidError, NotFoundError, RappitError


class ImportKind(StrEnum):
    """What a file holds."""

    STOCK = "stock"
    CATALOGUE = "catalogue"


class ImportMode(StrEnum):
    """What a row does: of stock the first two, of the catalogue the others."""

    SET = "set"
    ADD = "add"
    CREATE = "create"
    UPDATE = "update"
    UPSERT = "upsert"


class ImportStatus(StrEnum):
    """Where an import stands. ``rejected``: a row was bad and ``on_error`` was ``reject_all``."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    REJECTED = "rejected"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Tell whether nothing more will happen."""
        return self not in {ImportStatus.QUEUED, ImportStatus.RUNNING}


class UnknownImportError(NotFoundError):
    """There is no such import."""

    code = "unknown_import"


class ImportFinishedError(ConflictError):
    """The import has ended and cannot be cancelled any more."""

    code = "import_finished"


class ImportFileRemovedError(RappitError):
    """The import's file and failed rows are past their retention."""

    status = 410
    code = "import_file_removed"


class ImportKeyReusedError(InvalidError):
    """The idempotency key stands for another file or other options."""

    code = "idempotency_key_reused"


class LeaseLostError(RuntimeError):
    """Another worker has taken the import over, or it was ended: what was done here is rolled back."""


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How an import treats its rows, and whether it changes anything at all."""

    kind: ImportKind
    mode: ImportMode
    reject_all: bool = False
    dry_run: bool = False
    create_missing_skus: bool = False


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What became of a file's rows; of a dry run, what would have."""

    total: int
    succeeded: int
    failed: int
    created: int
    updated: int
    unchanged: int
    created_skus: int
    applied: bool
    rejected: bool

    @classmethod
    def of_rejected(cls, total: int, failed: int) -> "ImportSummary":
        """Return what is told of a file that was refused as a whole."""
        return cls(total, 0, failed, 0, 0, 0, 0, applied=False, rejected=True)

    @classmethod
    def of_rows(
        cls, total: int, failed: int, *, created: int, updated: int, unchanged: int, created_skus: int, applied: bool
    ) -> "ImportSummary":
        """Return what is told of a file whose good rows count, or would."""
        succeeded = created + updated + unchanged
        return cls(total, succeeded, failed, created, updated, unchanged, created_skus, applied=applied, rejected=False)


@dataclass(slots=True)
class Progress:
    """How far an import has come, for those who watch from other connections."""

    phase: str = "reading"
    rows_read: int = 0


@dataclass(frozen=True, slots=True)
class ImportWork:
    """One import to be applied: by whom, how, and where its failed rows are to be noted."""

    import_id: UUID
    actor: str
    options: ImportOptions
    progress: Progress = field(default_factory=Progress)
