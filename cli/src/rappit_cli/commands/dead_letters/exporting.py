"""``dead-letters export``."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated

import typer

from rappit_cli.commands.dead_letters.filters import Filter, filtered
from rappit_cli.commands.dead_letters.services import Across, OfServices, Service
from rappit_cli.connection import connected
from rappit_cli.errors import CliError, UnreachableError

MAX_HEADER_BYTES = 64 * 1024


@filtered
def export_dead_letters(
    *,
    wanted: Filter,
    service: OfServices = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", dir_okay=False, help="This file instead of standard output.")
    ] = None,
) -> None:
    """Export dead letters as CSV, up to 100,000 of each service, under one header."""
    with connected() as api:
        across = Across(api, service)
        if output is None:
            _export(across, wanted, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        else:
            _export_to(output, across, wanted)
    across.finish()


def _export_to(output: Path, across: Across, wanted: Filter) -> None:
    # Beside it first: a file of that name is always a whole export.
    partial = output.with_name(f".{output.name}.partial")
    try:
        try:
            with partial.open("wb") as file:
                _export(across, wanted, file)
            partial.replace(output)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise CliError(f"{output} cannot be written: {error.strerror}") from error


def _export(across: Across, wanted: Filter, file: IO[bytes]) -> None:
    first_header: list[bytes] = []

    def write(service: Service) -> None:
        with across.api.stream(f"{service.letters}/export", wanted.members) as chunks:
            header, rest = _split_header(chunks)
            if not first_header:
                first_header.append(header)
                file.write(header)
            elif header != first_header[0]:
                raise CliError(f"The columns of {service.value} are others: export it alone, with --service.")
            file.write(rest)
            try:
                for chunk in chunks:
                    file.write(chunk)
            except UnreachableError as error:
                # Not left out but cut short, which nobody would see in the file.
                raise CliError(f"{service.value} broke off: {error}") from error

    across.each(write)


def _split_header(chunks: Iterator[bytes]) -> tuple[bytes, bytes]:
    begun = b""
    while b"\n" not in begun and len(begun) < MAX_HEADER_BYTES:
        chunk = next(chunks, None)
        if chunk is None:
            return begun, b""
        begun += chunk
    header, _, rest = begun.partition(b"\n")
    return header + b"\n", rest
