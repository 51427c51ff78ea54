"""Reading a carrier's JSON without trusting its shape."""

from typing import Any, cast


def at(tree: object, *path: str | int) -> Any:
    """Return the value at a path of keys and indexes, or None where anything on the way is missing or otherwise."""
    node: Any = tree
    for step in path:
        if isinstance(step, int):
            items = cast("list[Any]", node) if isinstance(node, list) else []
            node = items[step] if 0 <= step < len(items) else None
        else:
            node = cast("dict[str, Any]", node).get(step) if isinstance(node, dict) else None
    return node


def text(tree: object, *path: str | int) -> str:
    """Return the text or number at a path as stripped text, else an empty one."""
    value = at(tree, *path)
    return "" if isinstance(value, bool) or not isinstance(value, str | int | float) else str(value).strip()


def rows(tree: object, *path: str | int) -> list[Any]:
    """Return the list at a path, else an empty one."""
    value = at(tree, *path)
    return cast("list[Any]", value) if isinstance(value, list) else []
