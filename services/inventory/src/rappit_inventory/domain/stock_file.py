"""Files of stock: which columns they have, and what makes a row of them sound."""

import re
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from rappit_inventory.domain.stock import MAX_QUANTITY
from rappit_inventory.domain.table_file import RowError, TableFile, check_code, shown

COLUMNS = ("sku", "quantity", "warehouse_code")
MAX_CODE_CHARACTERS = 200
TEMPLATE_CSV = "sku,quantity,warehouse_code\nSHIRT-RED-M,25,MAIN\nSHIRT-RED-L,40,MAIN\n"

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
# Numbers of so many digits need no further look; longer ones may be out of range.
_SURE_DIGITS = 9


class StockRow(NamedTuple):
    """A row that may be applied, as far as can be told without the database."""

    line: int
    sku: str
    warehouse_code: str
    quantity: int


def check_row(line: int, sku: str, quantity: str, warehouse_code: str) -> StockRow | RowError:
    """Return a row's values when they are sound, or the first reason why they are not.

    Args:
        line: Where the row begins in its file, from 1.
        sku: Without spaces around, as the others.
        quantity: A whole number, from 0 to 2,147,483,647.
        warehouse_code: Of a warehouse.
    """
    for name, value in (("sku", sku), ("warehouse_code", warehouse_code)):
        refused = check_code(line, name, value, MAX_CODE_CHARACTERS)
        if refused is not None:
            return refused
    if quantity.isdecimal() and quantity.isascii() and len(quantity) <= _SURE_DIGITS:
        return StockRow(line, sku, warehouse_code, int(quantity))
    number = _check_quantity(line, quantity)
    return StockRow(line, sku, warehouse_code, number) if isinstance(number, int) else number


def _check_quantity(line: int, quantity: str) -> int | RowError:
    value = shown(quantity)
    if not quantity:
        return RowError(line, "quantity", "missing_value", "The column quantity is empty.", "")
    if not _WHOLE.fullmatch(quantity):
        return RowError(line, "quantity", "not_a_whole_number", f"Quantity {value!r} is not a whole number.", value)
    number = int(quantity)
    if number < 0:
        return RowError(line, "quantity", "negative_quantity", f"Quantity {number} is below zero.", value)
    if number > MAX_QUANTITY:
        return RowError(line, "quantity", "quantity_too_large", f"Quantity {number} is above {MAX_QUANTITY}.", value)
    return number


def open_stock_file(stream: BinaryIO, *, counts_rows: bool = False) -> TableFile:
    """Find out what kind of file of stock it is.

    Raises:
        UnreadableFileError: It is empty, in UTF-16, or not CSV.
        MissingColumnError: A column is missing.
    """
    return TableFile(stream, COLUMNS, counts_rows=counts_rows)


def stock_rows(file: TableFile) -> Iterator[StockRow | RowError]:
    """Yield each row, checked.

    Raises:
        UnreadableFileError: Somewhere it ceases to be CSV.
    """
    for row in file.rows():
        if isinstance(row, RowError):
            yield row
        else:
            line, (sku, quantity, warehouse_code) = row
            yield check_row(line, sku, quantity, warehouse_code)
