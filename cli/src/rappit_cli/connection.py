"""The API as the person at this terminal."""

import contextlib
import urllib.parse
from collections.abc import Generator
from typing import Annotated

import typer

from rappit_cli.client import Api
from rappit_cli.session import SessionStore, config_folder

DEFAULT_ROWS = 50
MAX_ROWS = 10_000

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for another program.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=MAX_ROWS, help="Rows at most.")]


def segment(text: str) -> str:
    """Return what a person typed as one segment of a path, whatever it holds."""
    return urllib.parse.quote(text.strip(), safe="")


@contextlib.contextmanager
def connected() -> Generator[Api]:
    """Open the API with the stored session, or with the key in the environment."""
    api = Api(SessionStore(config_folder()))
    try:
        yield api
    finally:
        api.close()
