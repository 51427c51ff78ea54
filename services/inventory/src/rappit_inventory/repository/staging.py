"""How rows of a file come into PostgreSQL: by COPY of text, a thousand rows at a time, sound and unsound ones alike.

Unsound rows travel in columns of their own, so that none is held in memory, however many there are.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from rappit_inventory.domain.table_file import RowError

CopiedRows = AsyncIterator[Sequence[RowError | tuple[Any, ...]]]
"""Batches of rows, each a tuple in the order of the copied columns, beginning with its line; or why it is refused."""

_ERROR_COLUMNS = ("field", "code", "message", "value")
COPIED_ERROR_COLUMNS = ", ".join(f"{name} text" for name in _ERROR_COLUMNS)
"""The columns of a staging table that say why a row was refused, for its CREATE TABLE."""

_NULL = "\\N"
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_KEEP = """
    INSERT INTO import_errors (organization_id, import_id, line, field, code, message, value)
    SELECT :organization_id, :import_id, line, field, code, message, value FROM {table} WHERE code IS NOT NULL
    ORDER BY line
"""
# COPY does not go where row-level security is.
_STORE = text("""
    INSERT INTO import_errors (organization_id, import_id, line, field, code, message, value)
    SELECT :organization_id, :import_id, e.*
    FROM unnest(CAST(:lines AS int[]), CAST(:fields AS text[]), CAST(:codes AS text[]), CAST(:messages AS text[]),
                CAST(:values AS text[])) AS e
""")


def _escaped(value: object) -> str:
    if value is None:
        return _NULL
    # Asked first, since translating costs ten times as much as looking.
    text_ = value if type(value) is str else str(value)
    return text_ if text_.isprintable() and "\\" not in text_ else text_.translate(_ESCAPES)


async def copy_rows(session: AsyncSession, table: str, columns: Sequence[str], rows: CopiedRows) -> int:
    """Copy rows into a staging table that has ``columns`` and those for errors; returns how many there were."""
    no_error = f"\t{_NULL}" * len(_ERROR_COLUMNS) + "\n"
    no_values = f"\t{_NULL}" * (len(columns) - 1)

    async def lines() -> AsyncIterator[bytes]:
        async for batch in rows:
            parts = [
                "\t".join([str(row.line) + no_values, *map(_escaped, (row.field, row.code, row.message, row.value))])
                + "\n"
                if isinstance(row, RowError)
                else "\t".join(map(_escaped, row)) + no_error
                for row in batch
            ]
            yield "".join(parts).encode()

    connection = await (await session.connection()).get_raw_connection()
    driver: Any = connection.driver_connection
    copied: str = await driver.copy_to_table(
        table, source=lines(), columns=[*columns, *_ERROR_COLUMNS], format="text", encoding="utf-8"
    )
    return int(copied.rpartition(" ")[2])


async def keep_copied_errors(session: AsyncSession, table: str, organization_id: UUID, import_id: UUID) -> None:
    """Store the refusals that were copied among the failed rows of an import."""
    parameters = {"organization_id": organization_id, "import_id": import_id}
    await session.execute(text(_KEEP.format(table=table)), parameters)


async def store_errors(
    session: AsyncSession, organization_id: UUID, import_id: UUID, errors: Sequence[RowError]
) -> None:
    """Store refusals among the failed rows of an import."""
    parameters = {"organization_id": organization_id, "import_id": import_id}
    columns = {f"{name}s": [getattr(error, name) for error in errors] for name in ("line", *_ERROR_COLUMNS)}
    await session.execute(_STORE, {**parameters, **columns})
