"""Files that come in as request bodies: written to disk as they arrive, so that memory stays flat."""

import asyncio
import csv
import io
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, BinaryIO, cast

import python_multipart
from fastapi import Request
from pydantic import ValidationError
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import parse_options_header
from rappit_common.errors import InvalidError, RappitError
from starlette.requests import ClientDisconnect

from rappit_inventory.domain import catalogue_file, stock_file
from rappit_inventory.domain.imports import ImportKind
from rappit_inventory.domain.table_file import UnreadableFileError, defused
from rappit_inventory.repository.import_jobs import FileFacts
from rappit_inventory.schemas import ImportItems
from rappit_inventory.service.take_import import Upload, open_file

IN_MEMORY_BYTES = 1 << 20
MAX_HEADERS_BYTES = 16_000
FILE_FIELD = b"file"
MAX_FILE_BYTES = 200 * 1024 * 1024
# A JSON import is read whole, a CSV is not.
MAX_JSON_BYTES = 11 * 1024 * 1024
MAX_FILE_NAME_CHARACTERS = 200
# Longer than any value that is good, and shorter than what the CSV reader takes.
MAX_JSON_VALUE_CHARACTERS = 2_000
_FILE_TYPES = {b"text/csv", b"text/plain", b"application/csv", b"application/vnd.ms-excel"}


class MissingFileError(InvalidError):
    """The form has no part named ``file``."""

    code = "missing_file"


class UnreadableFormError(InvalidError):
    """The body is not the form it says it is."""

    code = "unreadable_form"


class UploadCutOffError(InvalidError):
    """The sender went away in the middle of the body."""

    code = "upload_cut_off"


class UnsupportedMediaTypeError(RappitError):
    """A body of this type cannot be imported."""

    status = 415
    code = "unsupported_media_type"


class FileTooLargeError(RappitError):
    """The body is larger than an import may be."""

    status = 413
    code = "file_too_large"


async def bounded_stream(request: Request, limit_bytes: int) -> AsyncIterator[bytes]:
    """Yield the body as it arrives.

    Raises:
        FileTooLargeError: It goes past the limit.
        UploadCutOffError: It ends in the middle.
    """
    read = 0
    try:
        async for chunk in request.stream():
            read += len(chunk)
            if read > limit_bytes:
                raise FileTooLargeError(
                    f"An import of this type has at most {limit_bytes} bytes: send it in parts; nothing was changed.",
                    limit_bytes=limit_bytes,
                )
            yield chunk
    except ClientDisconnect as error:
        # Nobody is left to read the answer, but this is no failure of ours to be woken for.
        raise UploadCutOffError(f"The upload ended after {read} bytes; nothing was changed. Send it again.") from error


@asynccontextmanager
async def received_upload(request: Request, kind: ImportKind) -> AsyncGenerator[Upload]:
    """Receive a CSV sent bare or as the part ``file`` of a form, or rows as JSON; gives it opened.

    Raises:
        UnsupportedMediaTypeError: It is none of these.
        FileTooLargeError: It has more than 200 MiB; of JSON, more than 11 MiB.
        UploadCutOffError: The sender went away.
        UnreadableFormError: The form is broken.
        MissingFileError: The form has no such part.
        UnreadableFileError: It is not what it says it is.
        MissingColumnError: A column is missing.
    """
    media_type, options = parse_options_header(request.headers.get("content-type", ""))
    name = None
    with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES) as spool:
        stream = cast("BinaryIO", spool)
        if media_type == b"multipart/form-data":
            name = await _receive_form(request, options.get(b"boundary", b""), stream)
        elif media_type == b"application/json":
            body = b"".join([chunk async for chunk in bounded_stream(request, MAX_JSON_BYTES)])
            await asyncio.to_thread(_write_items, body, kind, stream)
        elif media_type in _FILE_TYPES:
            async for chunk in bounded_stream(request, MAX_FILE_BYTES):
                stream.write(chunk)
        else:
            raise UnsupportedMediaTypeError(
                "Send the rows as text/csv, as the part `file` of multipart/form-data, or as application/json."
            )
        counts_rows = media_type == b"application/json"
        file = await asyncio.to_thread(open_file, kind, stream, counts_rows=counts_rows)
        facts = await asyncio.to_thread(FileFacts.of, stream, name, counts_rows=counts_rows)
        yield Upload(stream, facts, file)


def _write_items(body: bytes, kind: ImportKind, stream: BinaryIO) -> None:
    """Write the rows of a JSON import as the CSV they would be: there is one way from there on."""
    columns: Sequence[str] = stock_file.COLUMNS
    if kind is ImportKind.CATALOGUE:
        columns = (catalogue_file.KEY, *(column.name for column in catalogue_file.COLUMNS))
    try:
        items = ImportItems.model_validate_json(body).items
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        wanted = ", ".join(f'"{column}"' for column in columns)
        raise UnreadableFileError(f'The body is not {{"items": [{{{wanted}}}]}}: {place} {first["msg"]}.') from error
    if kind is ImportKind.CATALOGUE:
        named = {name for item in items for name in item}
        columns = [column for column in columns if column == catalogue_file.KEY or column in named]
    text = io.TextIOWrapper(stream, encoding="utf-8", errors="replace", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(item.get(column)) for column in columns] for item in items)
    text.detach()


def _cell(value: object) -> str:
    return "" if value is None else defused(str(value)[:MAX_JSON_VALUE_CHARACTERS])


async def _receive_form(request: Request, boundary: bytes, stream: BinaryIO) -> str | None:
    if not boundary:
        raise UnreadableFormError("The form names no boundary in its Content-Type.")
    form = _Form(stream)
    parser = python_multipart.MultipartParser(boundary, cast("Any", form.callbacks()))
    try:
        async for chunk in bounded_stream(request, MAX_FILE_BYTES):
            parser.write(chunk)
        parser.finalize()
    except MultipartParseError as error:
        raise UnreadableFormError(f"The form cannot be read: {error}.") from error
    if not form.found:
        raise MissingFileError("The form has no part named `file`.")
    if not form.complete:
        raise UnreadableFormError("The form ends in the middle; nothing was changed. Send it again.")
    # Some browsers send a whole path; and a name is shown, so it holds nothing that steers a terminal.
    name = form.file_name.decode("utf-8", "replace").replace("\\", "/").rpartition("/")[2]
    return "".join(x for x in name if x.isprintable())[:MAX_FILE_NAME_CHARACTERS] or None


class _Form:
    """Writes the first part named ``file`` to a stream and passes by all others."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._name = b""
        self._value = b""
        self._headers: dict[bytes, bytes] = {}
        self._taking = False
        self.found = False
        self.complete = False
        self.file_name = b""

    def callbacks(self) -> dict[str, Callable[..., None]]:
        """Return what the parser calls."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def _begin(self) -> None:
        self._headers = {}

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._name = (self._name + data[start:end])[:MAX_HEADERS_BYTES]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value = (self._value + data[start:end])[:MAX_HEADERS_BYTES]

    def _header_end(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._taking = not self.found and options.get(b"name") == FILE_FIELD
        self.found = self.found or self._taking
        if self._taking:
            self.file_name = options.get(b"filename", b"")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._taking:
            self._stream.write(data[start:end])

    def _end(self) -> None:
        self._taking = False

    def _finish(self) -> None:
        self.complete = True
