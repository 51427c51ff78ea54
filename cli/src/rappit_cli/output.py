"""What a person sees: tables that never cut a value, text that never moves the cursor, or plain JSON."""

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

PIPED_WIDTH = 240
# What JSON leaves as it is and a terminal obeys: the controls beyond ASCII, and what turns the direction of writing.
_STEERING = re.compile("[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def shown(value: Any) -> str:
    """Return ``value`` as one line of text that is safe on a terminal.

    Names and messages come from shops and from the world: a control character in them must not steer the terminal.
    """
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return "".join(" " if unicodedata.category(character) in {"Cc", "Cf"} else character for character in text)


def _console() -> Console:
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        # Piped output is for other programs: no line is broken to fit a screen.
        console = Console(highlight=False, markup=False, emoji=False, width=PIPED_WIDTH, soft_wrap=True)
    return console


def print_json(value: Any) -> None:
    """Print ``value`` for another program; a person may look at it all the same."""
    written = json.dumps(value, ensure_ascii=False, indent=2)
    typer.echo(_STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", written))


def print_line(text: str = "") -> None:
    """Print one line."""
    typer.echo(text)


def print_text(text: str) -> None:
    """Print text of several lines as it is, but for what could steer the terminal."""
    # Line ends and tabs are the text's own.
    typer.echo("".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text))


def tell(text: str) -> None:
    """Say something to the person on standard error, beside what is printed for programs."""
    typer.echo(shown(text), err=True)


def print_table(rows: Iterable[Mapping[str, Any]], columns: Sequence[tuple[str, str]], *, title: str = "") -> None:
    """Print rows.

    Args:
        rows: JSON objects.
        columns: A member's name (dots go deeper) and its heading.
        title: Above the table.
    """
    table = Table(box=None, pad_edge=False, header_style="bold", title=title or None, title_justify="left")
    for _, heading in columns:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text(shown(member(row, name))) for name, _ in columns))
    _console().print(table)


def print_facts(value: Mapping[str, Any], names: Sequence[tuple[str, str]]) -> None:
    """Print members of one object, a line each, leaving out those it does not have."""
    width = max(len(heading) for _, heading in names) + 2
    for name, heading in names:
        found = member(value, name)
        if found not in (None, "", [], {}):
            print_line(f"{heading + ':':<{width}}{shown(found)}")


def member(value: Any, path: str) -> Any:
    """Return a member of nested JSON objects, or None."""
    for name in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def note_more(page: Mapping[str, Any]) -> None:
    """Say on standard error that a list goes on."""
    if page.get("next_cursor"):
        typer.echo("There is more: raise --limit.", err=True)
