"""Files that come in as request bodies: written to disk as they arrive, so that memory stays flat."""

import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, BinaryIO, cast

import python_multipart
from fastapi import Request
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import parse_options_header
from rappit_common.errors import InvalidError, RappitError

IN_MEMORY_BYTES = 1 << 20
MAX_HEADERS_BYTES = 16_000
FILE_FIELD = b"file"
MAX_FILE_BYTES = 200 * 1024 * 1024


class MissingFileError(InvalidError):
    """The form has no part named ``file``."""

    code = "missing_file"


class UnreadableFormError(InvalidError):
    """The body is not the form it says it is."""

    code = "unreadable_form"


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
    """
    read = 0
    async for chunk in request.stream():
        read += len(chunk)
        if read > limit_bytes:
            raise FileTooLargeError(
                f"An import of this type has at most {limit_bytes} bytes: send it in parts; nothing was changed.",
                limit_bytes=limit_bytes,
            )
        yield chunk


@asynccontextmanager
async def received_file(request: Request, content_type: str) -> AsyncGenerator[BinaryIO]:
    """Receive a CSV sent bare or as the part ``file`` of a form; yields its bytes from the start.

    Raises:
        UnsupportedMediaTypeError: It is neither.
        FileTooLargeError: It has more than 200 MiB.
        UnreadableFormError: The form is broken.
        MissingFileError: The form has no such part.
    """
    media_type, options = parse_options_header(content_type)
    with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES) as spool:
        stream = cast("BinaryIO", spool)
        if media_type == b"multipart/form-data":
            await _receive_form(request, options.get(b"boundary", b""), stream)
        elif media_type in {b"text/csv", b"text/plain", b"application/csv", b"application/vnd.ms-excel"}:
            async for chunk in bounded_stream(request, MAX_FILE_BYTES):
                stream.write(chunk)
        else:
            raise UnsupportedMediaTypeError(
                "Send the stock as text/csv, as the part `file` of multipart/form-data, or as application/json."
            )
        stream.seek(0)
        yield stream


async def _receive_form(request: Request, boundary: bytes, stream: BinaryIO) -> None:
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

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._taking:
            self._stream.write(data[start:end])

    def _end(self) -> None:
        self._taking = False

    def _finish(self) -> None:
        self.complete = True
