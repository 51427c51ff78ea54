"""Reading JSON of unknown shape without trusting any of it."""

from decimal import Decimal, InvalidOperation
from typing import Any, cast
from urllib.parse import parse_qsl


def at(tree: object, *path: str | int) -> Any:
    """The value at a path of keys and indexes; None where anything on the way is missing or of another shape."""
    node: Any = tree
    for step in path:
        if isinstance(step, int):
            items = cast("list[Any]", node) if isinstance(node, list) else []
            node = items[step] if -len(items) <= step < len(items) else None
        else:
            node = cast("dict[str, Any]", node).get(step) if isinstance(node, dict) else None
    return node


def text(tree: object, *path: str | int) -> str:
    """The text at a path, stripped; empty when there is none. Numbers are read as text, as lenient APIs do."""
    value = at(tree, *path)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return str(value).strip()


def rows(tree: object, *path: str | int) -> list[Any]:
    """The list at a path; empty when there is none."""
    value = at(tree, *path)
    return cast("list[Any]", value) if isinstance(value, list) else []


def number(tree: object, *path: str | int) -> Decimal | None:
    """The finite number at a path; None when there is none."""
    try:
        value = Decimal(text(tree, *path))
    except InvalidOperation:
        return None
    return value if value.is_finite() else None


def form_of(body: bytes) -> dict[str, str]:
    """A URL-encoded form; of a repeated field the last value counts, and nonsense is an empty form."""
    try:
        return dict(parse_qsl(body.decode(), max_num_fields=100))
    except ValueError:
        return {}
