"""Bodies as people read them: JSON indented without being changed, and what an edit changes."""

import difflib
import json
import re
from collections.abc import Iterator

MAX_PRETTY_BYTES = 1024 * 1024
# Each line is indented by its depth: a small body that is deep and has many values would become a gigabyte.
MAX_PRETTY_CHARACTERS = 8 * MAX_PRETTY_BYTES
MAX_COMPARED_LINES = 5_000
MAX_DIFF_LINES = 2_000
INDENT = "  "

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)


def pretty_json(body: bytes) -> str | None:
    """Return a JSON body indented; None for what is no JSON, or too large to look at, before or after.

    Its tokens stay as they are written, so that a price sent back after an edit has the digits it came with; only the
    letters that were escaped become plain.
    """
    if len(body) > MAX_PRETTY_BYTES:
        return None
    try:
        text = body.decode()
        json.loads(text)
    except (ValueError, RecursionError):
        return None
    written: list[str] = []
    characters = 0
    for part in _indented(_TOKEN.findall(text)):
        characters += len(part)
        if characters > MAX_PRETTY_CHARACTERS:
            return None
        written.append(part)
    return "".join(written)


def _indented(tokens: list[str]) -> Iterator[str]:
    depth, before = 0, ""
    for part in tokens:
        if part in "}]":
            depth -= 1
            if before not in "{[":
                yield "\n" + INDENT * depth
        elif before and before in "{[,":
            yield "\n" + INDENT * depth
        if part in "{[":
            depth += 1
        yield ": " if part == ":" else _plain(part)
        before = part


def _plain(part: str) -> str:
    if "\\u" not in part and "\\/" not in part:
        return part
    plain = json.dumps(json.loads(part), ensure_ascii=False)
    # Half of a surrogate pair cannot be sent as text: it stays escaped.
    return plain if plain.isprintable() or plain.encode("utf-8", "ignore").decode() == plain else part


def unified_diff(before: bytes, after: bytes) -> list[str]:
    """Return what an edit changes, as lines of a unified diff of the pretty forms; nothing when it changes nothing."""
    old, new = _lines(before), _lines(after)
    if old == new:
        return []
    if max(len(old), len(new)) > MAX_COMPARED_LINES:
        return [f"too long to compare: {len(old)} lines before, {len(new)} lines after"]
    lines = list(difflib.unified_diff(old, new, "failed", "edited", lineterm=""))
    if len(lines) > MAX_DIFF_LINES:
        return [*lines[:MAX_DIFF_LINES], f"… and {len(lines) - MAX_DIFF_LINES} lines more"]
    return lines


def _lines(body: bytes) -> list[str]:
    return (pretty_json(body) or body.decode("utf-8", "replace")).splitlines()
