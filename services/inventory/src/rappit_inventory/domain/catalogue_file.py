"""Files of SKUs: one line here is one column of the import, in whatever order a file has them.

An empty cell of an optional column removes the value; a column that is not in the file leaves values as they are.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from rappit_inventory.domain.table_file import RowError, TableFile, check_code, shown

KEY = "sku"
MAX_SKU_CHARACTERS = 200
# Of a number in a cell; more are refused before anybody computes with them.
MAX_DIGITS = 9


class CatalogueRow(NamedTuple):
    """A row that may be applied; ``values`` are those of the file's columns after ``sku``, as text for PostgreSQL."""

    line: int
    sku: str
    values: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class CatalogueColumn:
    """A column of the import.

    Attributes:
        name: In the file and in the table.
        sql_type: Of the table's column.
        check: Returns why a value that is not empty is refused, if so.
        empty: What stands for an empty cell, as SQL over the row ``r``: ``NULL`` where the table allows it.
    """

    name: str
    sql_type: str
    check: Callable[[int, str, str], RowError | None]
    empty: str = "NULL"


def text_of(max_characters: int) -> Callable[[int, str, str], RowError | None]:
    """Return the check of a text."""
    return lambda line, name, value: check_code(line, name, value, max_characters)


def whole_number_to(most: int) -> Callable[[int, str, str], RowError | None]:
    """Return the check of a whole number from 0 to ``most``."""

    def check(line: int, name: str, value: str) -> RowError | None:
        if not (value.isdecimal() and value.isascii()):
            message = f"{name} {shown(value)!r} is not a whole number of 0 or more."
            return RowError(line, name, "not_a_whole_number", message, shown(value))
        if len(value) > MAX_DIGITS or int(value) > most:
            return RowError(line, name, "number_too_large", f"A {name} is at most {most}.", shown(value))
        return None

    return check


def written_as(pattern: str, meaning: str) -> Callable[[int, str, str], RowError | None]:
    """Return the check of a code; ``meaning`` says in words what it looks like."""
    compiled = re.compile(pattern, re.ASCII)

    def check(line: int, name: str, value: str) -> RowError | None:
        if compiled.fullmatch(value):
            return None
        message = f"{name} {shown(value)!r} is not {meaning}."
        return RowError(line, name, "invalid_code", message, shown(value))

    return check


# A SKU without a name is called by its code.
COLUMNS = (
    CatalogueColumn("name", "varchar(500)", text_of(500), empty="r.sku"),
    CatalogueColumn("barcode", "varchar(50)", text_of(50)),
    CatalogueColumn("product", "varchar(200)", text_of(200)),
    CatalogueColumn("weight_g", "int", whole_number_to(10_000_000)),
    *(CatalogueColumn(name, "int", whole_number_to(100_000)) for name in ("length_mm", "width_mm", "height_mm")),
    CatalogueColumn("hs_code", "varchar(20)", written_as("[0-9]{4,12}", "a customs tariff number of 4 to 12 digits")),
    CatalogueColumn("country_of_origin", "varchar(2)", written_as("[A-Z]{2}", "a country code such as DE")),
    CatalogueColumn("customs_description", "varchar(200)", text_of(200)),
)
_BY_NAME = {column.name: column for column in COLUMNS}
TEMPLATE_CSV = (
    "sku,name,barcode,product,weight_g,hs_code,country_of_origin\n"
    "SHIRT-RED-M,Red shirt M,4006381333931,Red shirt,180,610910,PT\n"
)


def open_catalogue_file(stream: BinaryIO, *, counts_rows: bool = False) -> TableFile:
    """Find out what kind of file of SKUs it is.

    Raises:
        UnreadableFileError: It is empty, in UTF-16, or not CSV.
        MissingColumnError: It has no column ``sku``.
    """
    return TableFile(stream, (KEY,), tuple(_BY_NAME), counts_rows=counts_rows)


def columns_of(file: TableFile) -> list[CatalogueColumn]:
    """Return the columns that a file has, in the order of its rows' values."""
    return [_BY_NAME[name] for name in file.columns if name != KEY]


def catalogue_rows(file: TableFile) -> Iterator[CatalogueRow | RowError]:
    """Yield each row, checked.

    Raises:
        UnreadableFileError: Somewhere it ceases to be CSV.
    """
    columns = columns_of(file)
    for row in file.rows():
        if isinstance(row, RowError):
            yield row
        else:
            line, (sku, *values) = row
            refused = check_code(line, KEY, sku, MAX_SKU_CHARACTERS)
            for column, value in zip(columns, values, strict=True):
                if refused is None and value:
                    refused = column.check(line, column.name, value)
            yield refused or CatalogueRow(line, sku, tuple(value or None for value in values))
