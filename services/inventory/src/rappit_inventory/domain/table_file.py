"""CSV files as merchants' systems write them: read row by row in any common dialect, nothing held in memory."""

import codecs
import csv
import io
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from rappit_common.errors import InvalidError

DELIMITERS = (",", ";", "\t")
MAX_VALUE_CHARACTERS = 100
MAX_HEADER_CHARACTERS = 64_000
# A row is held in memory, cell by cell: one of 40 MB takes a gigabyte.
MAX_ROW_CHARACTERS = 1 << 20
MAX_LISTED_COLUMNS = 20
ERROR_COLUMNS = ("error_line", "error_field", "error_code", "error_message")
"""What a file of failed rows has besides its own columns; passed by in silence when it is sent again."""

_DECODE_BYTES = 1 << 20
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# A spreadsheet takes a cell that begins so for a formula, and one of a stranger's making can send data out.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?", re.ASCII)
_DEFUSED = re.compile(r"'+[=+\-@\t\r]")


class UnreadableFileError(InvalidError):
    """The file as a whole cannot be read; nothing was changed."""

    code = "unreadable_file"


class MissingColumnError(InvalidError):
    """The header does not name all columns that are needed."""

    code = "missing_column"


@dataclass(frozen=True, slots=True)
class RowError:
    """Why a row is not applied: where, in which column, for a machine, for a person, and what stood there."""

    line: int
    field: str
    code: str
    message: str
    value: str


def defused(value: str) -> str:
    """Return a cell that no spreadsheet takes for a formula; :func:`as_meant` undoes it. Numbers stay numbers."""
    return "'" + value if _FORMULA.match(value) and not _NUMBER.fullmatch(value) else value


def as_meant(value: str) -> str:
    """Return a cell's value without spaces around and without what :func:`defused` put before it."""
    value = value.strip()
    return value[1:] if value[:1] == "'" and _DEFUSED.match(value) else value


def shown(value: str) -> str:
    """Return a value as it may stand in a message: short, and without characters that steer a terminal."""
    return _CONTROL.sub("?", value)[:MAX_VALUE_CHARACTERS]


def check_code(line: int, name: str, value: str, max_characters: int) -> RowError | None:
    """Return why a text that must be there is not good, if so."""
    if not value:
        return RowError(line, name, "missing_value", f"The column {name} is empty.", "")
    if len(value) > max_characters:
        return RowError(line, name, "too_long", f"A {name} has at most {max_characters} characters.", shown(value))
    # The quick question first: nearly every text is printable, and then holds no control character.
    if not value.isprintable() and _CONTROL.search(value):
        message = f"A {name} holds no control characters; is a quote open?"
        return RowError(line, name, "invalid_characters", message, shown(value))
    return None


@dataclass(slots=True)
class TableFile:
    """A CSV file: its encoding, delimiter and columns are found out when it is opened.

    Args:
        stream: Its bytes, from the start; seekable.
        required: Columns that must be there.
        optional: Columns that are read when they are there.
        counts_rows: Lines are rows, from 1 after the header, and blank ones count too: for what was JSON once.

    Raises:
        UnreadableFileError: It is empty, in UTF-16, or not CSV.
        MissingColumnError: A column is missing.
    """

    stream: BinaryIO
    required: Sequence[str]
    optional: Sequence[str] = ()
    counts_rows: bool = False
    warnings: list[str] = field(init=False, default_factory=list[str])
    header: list[str] = field(init=False)
    columns: tuple[str, ...] = field(init=False)
    """The known columns that it has, required ones first."""

    _encoding: str = field(init=False)
    _delimiter: str = field(init=False)
    _places: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Find out what kind of file it is."""
        self._encoding = _encoding_of(self.stream)
        if self._encoding == "latin-1":
            self.warnings.append("The file is not UTF-8; it was read as Latin-1. Check names with accents.")
        header = self._header()
        known = {*self.required, *self.optional}
        self._delimiter, names = _columns_of(header, self.required, known)
        self.header = next(csv.reader([header], delimiter=self._delimiter))
        self.columns = (*self.required, *(name for name in self.optional if name in names))
        self._places = tuple(names.index(name) for name in self.columns)
        ignored = [shown(name) or "(unnamed)" for name in names if name not in known and name not in ERROR_COLUMNS]
        if ignored:
            more = "" if len(ignored) <= MAX_LISTED_COLUMNS else f" and {len(ignored) - MAX_LISTED_COLUMNS} more"
            self.warnings.append(f"Ignored columns: {', '.join(ignored[:MAX_LISTED_COLUMNS])}{more}.")

    def _text(self) -> "_Text":
        self.stream.seek(0)
        return _Text(self.stream, self._encoding)

    def _header(self) -> str:
        with self._text() as text:
            header = text.readline(MAX_HEADER_CHARACTERS)
            while header and not header.strip():
                header = text.readline(MAX_HEADER_CHARACTERS)
        if not header:
            raise UnreadableFileError("The file is empty: it needs a header line and rows.")
        return header

    def raw_rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the line at which each row begins and its cells as they stand there; the header and blanks are not.

        Raises:
            UnreadableFileError: Somewhere it ceases to be CSV.
        """
        with self._text() as text:
            lines = _Lines(text)
            reader = csv.reader(lines, delimiter=self._delimiter)
            header_seen = False
            last_line = count = 0
            while True:
                lines.room = MAX_ROW_CHARACTERS
                try:
                    values = next(reader, None)
                except csv.Error as error:
                    message = f"Line {last_line + 1} cannot be read ({error}); is a quote open? Nothing was changed."
                    raise UnreadableFileError(message, line=last_line + 1) from error
                if values is None:
                    return
                # A quoted newline makes a row span lines: say where it begins.
                line, last_line = last_line + 1, reader.line_num
                is_kept = self.counts_rows and header_seen
                if not is_kept and not any(value.strip() for value in values):
                    continue
                if not header_seen:
                    header_seen = True
                    continue
                count += 1
                yield count if self.counts_rows else line, values

    def rows(self) -> Iterator[tuple[int, Sequence[str]] | RowError]:
        """Yield each row's line and the values of :attr:`columns`, or that it has too few.

        Raises:
            UnreadableFileError: Somewhere it ceases to be CSV.
        """
        places = self._places
        needed = max(places) + 1
        for line, values in self.raw_rows():
            if len(values) < needed:
                message = f"The row has {len(values)} of the columns; {needed} are needed."
                yield RowError(line, "row", "missing_columns", message, shown(self._delimiter.join(values)))
                continue
            yield line, [as_meant(values[place]) for place in places]


class _Lines:
    """The lines of a file; a row, on however many of them it stands, has ``room`` for so many characters."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self.room = 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._text.readline(MAX_ROW_CHARACTERS + 1)
        if not line:
            raise StopIteration
        self.room -= len(line)
        if self.room < 0:
            raise csv.Error(f"row larger than {MAX_ROW_CHARACTERS} characters")
        return line


class _Text(io.TextIOWrapper):
    """Text over a stream that outlives it."""

    def __init__(self, stream: BinaryIO, encoding: str) -> None:
        super().__init__(stream, encoding=encoding, newline="")

    def __exit__(self, *_: object) -> None:
        # Who reads no further may have closed it already.
        if not self.closed:
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


def _columns_of(header: str, required: Sequence[str], known: Collection[str]) -> tuple[str, list[str]]:
    best: list[str] = []
    found: tuple[str, list[str]] | None = None
    for delimiter in DELIMITERS:
        try:
            row = next(csv.reader([header], delimiter=delimiter), [])
        except csv.Error:
            continue
        names = [name.strip().lower().replace(" ", "_") for name in row]
        # A single required column is found whatever the delimiter: the one that finds the most columns is right.
        if all(column in names for column in required) and (found is None or len(names) > len(found[1])):
            found = delimiter, names
        best = max(best, names, key=len)
    if found is not None:
        twice = next((column for column in sorted(known) if found[1].count(column) > 1), None)
        if twice is not None:
            raise UnreadableFileError(f"The header names the column {twice} twice: keep the one that is meant.")
        return found
    missing = [column for column in required if column not in best]
    raise MissingColumnError(
        f"The header lacks {', '.join(missing)}: the first line names the columns {', '.join(required)}, in any order.",
        missing=missing,
    )
