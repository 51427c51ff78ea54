"""A body, mended by a person: from a file, or in an editor until the API takes it."""

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import typer

from rappit_cli.errors import ApiError, CliError
from rappit_cli.output import tell


def text_of(file: Path) -> str:
    """Return a file's text.

    Raises:
        CliError: It is no UTF-8 text.
    """
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CliError(f"{file} is not UTF-8 text.") from error


def edited(letter: Mapping[str, Any], preview: Callable[[str], dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    """Let the person edit what failed, again and again while the API refuses it.

    Args:
        letter: What failed.
        preview: Asks the API what sending an edit would do.

    Returns:
        The text, and the API's preview of it.

    Raises:
        ApiError: The API refuses the edit, and the person gives up, or there is nobody to ask.
        CliError: The body is no text, or nothing was changed, or there is no editor.
    """
    if letter.get("body_encoding") == "base64":
        raise CliError("The body is not text: mend it in a file of its own, and send that with --body-file.")
    pretty = letter.get("body_pretty")
    before = str(pretty or letter["body"])
    text = before
    while True:
        text = _in_editor(text, ".json" if pretty else ".txt")
        if text.rstrip("\n") == before.rstrip("\n"):
            raise CliError("Nothing was changed, so nothing is sent.")
        try:
            return text, preview(text)
        except ApiError as error:
            if error.status != HTTPStatus.UNPROCESSABLE_ENTITY or not sys.stdin.isatty():
                raise
            tell(str(error))
            if not typer.confirm("Edit it again?", default=True, err=True):
                raise


def _in_editor(text: str, suffix: str) -> str:
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not editor:
        raise CliError("There is no editor: set EDITOR, for example to nano.")
    # Readable by its owner only, and gone afterwards: bodies hold people's names and addresses.
    descriptor, name = tempfile.mkstemp(prefix="rappit-dead-letter-", suffix=suffix)
    file = Path(name)
    try:
        os.close(descriptor)
        file.write_text(text, encoding="utf-8")
        ended = subprocess.run([*shlex.split(editor), name], check=False)  # noqa: S603 - the person's own editor
        if ended.returncode != 0:
            raise CliError(f"{editor} ended with {ended.returncode}, so nothing is sent.")
        return text_of(file)
    except (OSError, ValueError) as error:
        raise CliError(f"{editor} cannot be run: {error}") from error
    finally:
        file.unlink(missing_ok=True)
