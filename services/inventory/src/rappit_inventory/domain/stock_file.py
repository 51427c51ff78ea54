"""Files of stock as merchants' systems write them: read row by row, each row checked, nothing held in memory."""

import codecs
import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from rappit_common.errors import InvalidError

from rappit_inventory.domain.stock import MAX_QUANTITY

COLUMNS = ("sku", "quantity", "warehouse_code")
DELIMITERS = (",", ";", "\t")
MAX_CODE_CHARACTERS = 200
MAX_VALUE_CHARACTERS = 100
MAX_HEADER_CHARACTERS = 64_000
MAX_LISTED_COLUMNS = 20
_DECODE_BYTES = 1 << 20
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class UnreadableFileError(InvalidError):
    """The file as a whole cannot be read; nothing was changed."""

    code = "unreadable_file"


class MissingColumnError(InvalidError):
    """The header does not name all columns that are needed."""

    code = "missing_column"


@dataclass(frozen=True, slots=True)
class StockRow:
    """A row that may be applied, as far as can be told without the database."""

    line: int
    sku: str
    warehouse_code: str
    quantity: int


@dataclass(frozen=True, slots=True)
class RowError:
    """Why a row is not applied: where, in which column, for a machine, for a person, and what stood there."""

    line: int
    field: str
    code: str
    message: str
    value: str


def check_row(line: int, sku: str, quantity: str, warehouse_code: str) -> StockRow | RowError:
    """Return a row's values when they are sound, or the first reason why they are not.

    Args:
        line: Where the row begins in its file, from 1.
        sku: As written; spaces around are dropped, as everywhere below.
        quantity: A whole number, from 0 to 2,147,483,647.
        warehouse_code: As written.
    """
    sku, quantity, warehouse_code = sku.strip(), quantity.strip(), warehouse_code.strip()
    for name, value in (("sku", sku), ("warehouse_code", warehouse_code)):
        if not value:
            return RowError(line, name, "missing_value", f"The column {name} is empty.", "")
        if len(value) > MAX_CODE_CHARACTERS:
            message = f"A {name} has at most {MAX_CODE_CHARACTERS} characters."
            return RowError(line, name, "too_long", message, value[:MAX_VALUE_CHARACTERS])
        if _CONTROL.search(value):
            message = f"A {name} holds no control characters; is a quote open?"
            return RowError(line, name, "invalid_characters", message, _CONTROL.sub("?", value)[:MAX_VALUE_CHARACTERS])
    number = _check_quantity(line, quantity)
    return StockRow(line, sku, warehouse_code, number) if isinstance(number, int) else number


def _check_quantity(line: int, quantity: str) -> int | RowError:
    shown = _CONTROL.sub("?", quantity)[:MAX_VALUE_CHARACTERS]
    if not quantity:
        return RowError(line, "quantity", "missing_value", "The column quantity is empty.", "")
    if not _WHOLE.fullmatch(quantity):
        return RowError(line, "quantity", "not_a_whole_number", f"Quantity {shown!r} is not a whole number.", shown)
    number = int(quantity)
    if number < 0:
        return RowError(line, "quantity", "negative_quantity", f"Quantity {number} is below zero.", shown)
    if number > MAX_QUANTITY:
        return RowError(line, "quantity", "quantity_too_large", f"Quantity {number} is above {MAX_QUANTITY}.", shown)
    return number


@dataclass(slots=True)
class StockFile:
    """A CSV file: its encoding, delimiter and columns are found out when it is opened.

    Args:
        stream: Its bytes, from the start; seekable.

    Raises:
        UnreadableFileError: It is empty, in UTF-16, or not CSV.
        MissingColumnError: A column is missing.
    """

    stream: BinaryIO
    warnings: list[str] = field(default_factory=list[str])
    _encoding: str = field(init=False)
    _delimiter: str = field(init=False)
    _places: tuple[int, int, int] = field(init=False)

    def __post_init__(self) -> None:
        """Find out what kind of file it is."""
        self._encoding = _encoding_of(self.stream)
        if self._encoding == "latin-1":
            self.warnings.append("The file is not UTF-8; it was read as Latin-1. Check names with accents.")
        with self._text() as text:
            header = text.readline(MAX_HEADER_CHARACTERS)
            while header and not header.strip():
                header = text.readline(MAX_HEADER_CHARACTERS)
        if not header:
            raise UnreadableFileError("The file is empty: it needs a header line and rows.")
        self._delimiter, names = _columns_of(header)
        self._places = (names.index("sku"), names.index("quantity"), names.index("warehouse_code"))
        ignored = [name or "(unnamed)" for name in names if name not in COLUMNS]
        if ignored:
            more = "" if len(ignored) <= MAX_LISTED_COLUMNS else f" and {len(ignored) - MAX_LISTED_COLUMNS} more"
            self.warnings.append(f"Ignored columns: {', '.join(ignored[:MAX_LISTED_COLUMNS])}{more}.")

    def _text(self) -> "_Text":
        self.stream.seek(0)
        return _Text(self.stream, self._encoding)

    def rows(self) -> Iterator[StockRow | RowError]:
        """Yield each row that is not blank, checked.

        Raises:
            UnreadableFileError: Somewhere it ceases to be CSV.
        """
        sku, quantity, warehouse_code = self._places
        with self._text() as text:
            reader = csv.reader(text, delimiter=self._delimiter)
            header_seen = False
            last_line = 0
            while True:
                try:
                    values = next(reader, None)
                except csv.Error as error:
                    message = f"Line {last_line + 1} cannot be read ({error}); is a quote open? Nothing was changed."
                    raise UnreadableFileError(message, line=last_line + 1) from error
                if values is None:
                    return
                # A quoted newline makes a row span lines: say where it begins.
                line, last_line = last_line + 1, reader.line_num
                if not any(value.strip() for value in values):
                    continue
                if not header_seen:
                    header_seen = True
                    continue
                if len(values) <= max(self._places):
                    message = f"The row has {len(values)} of the columns; {max(self._places) + 1} are needed."
                    shown = _CONTROL.sub("?", self._delimiter.join(values))[:MAX_VALUE_CHARACTERS]
                    yield RowError(line, "row", "missing_columns", message, shown)
                    continue
                yield check_row(line, values[sku], values[quantity], values[warehouse_code])


class _Text(io.TextIOWrapper):
    """Text over a stream that outlives it."""

    def __init__(self, stream: BinaryIO, encoding: str) -> None:
        super().__init__(stream, encoding=encoding, newline="")

    def __exit__(self, *_: object) -> None:
        self.detach()


def _encoding_of(stream: BinaryIO) -> str:
    stream.seek(0)
    decoder = codecs.getincrementaldecoder("utf-8")()
    first = True
    while chunk := stream.read(_DECODE_BYTES):
        if first and chunk.startswith(_UTF16):
            raise UnreadableFileError("The file is in UTF-16: save it as UTF-8 (in Excel: 'CSV UTF-8').")
        first = False
        try:
            decoder.decode(chunk)
        except UnicodeDecodeError:
            return "latin-1"
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8-sig"


def _columns_of(header: str) -> tuple[str, list[str]]:
    best: list[str] = []
    for delimiter in DELIMITERS:
        try:
            row = next(csv.reader([header], delimiter=delimiter), [])
        except csv.Error:
            continue
        names = [name.strip().lower().replace(" ", "_") for name in row]
        if all(column in names for column in COLUMNS):
            twice = next((column for column in COLUMNS if names.count(column) > 1), None)
            if twice is not None:
                raise UnreadableFileError(f"The header names the column {twice} twice: keep the one that is meant.")
            return delimiter, names
        best = max(best, names, key=len)
    missing = [column for column in COLUMNS if column not in best]
    raise MissingColumnError(
        f"The header lacks {', '.join(missing)}: the first line names the columns {', '.join(COLUMNS)}, in any order.",
        missing=missing,
    )


@dataclass(slots=True)
class ErrorLog:
    """Counts errors and keeps the first ones."""

    limit: int = 1_000
    count: int = 0
    first: list[RowError] = field(default_factory=list[RowError])

    def add(self, error: RowError) -> None:
        """Note one error."""
        self.count += 1
        if len(self.first) < self.limit:
            self.first.append(error)

    def merge(self, count: int, errors: Iterable[RowError]) -> None:
        """Note errors found elsewhere: how many in all, and the first ``limit`` of them."""
        self.count += count
        self.first = sorted([*self.first, *errors], key=lambda error: error.line)[: self.limit]
