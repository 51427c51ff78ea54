"""Message headers come from anywhere: brought into a form that our table, and a copy of the message, can hold."""

import base64
import json
import math
from collections.abc import Mapping
from typing import Any, cast

from rappit_common.messaging.events import HEADER_ATTEMPT

MAX_ATTEMPT = 1_000_000
# All headers of a message travel in one frame of at most 128 KiB: a larger one costs the connection.
MAX_HEADERS_BYTES = 96 * 1024
CUT_CHARACTERS = 500


def storable(text: str) -> str:
    """Return ``text`` without what PostgreSQL's text cannot hold: NUL and lone surrogates become replacement marks."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def attempt_of(headers: Mapping[str, Any]) -> int:
    """Return which attempt at a message this is, the first when its header says nothing sensible."""
    value = headers.get(HEADER_ATTEMPT)
    return value if type(value) is int and 1 <= value <= MAX_ATTEMPT else 1


def bounded(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Return headers that fit a message: the largest are cut to 500 characters, and left out when that is not enough.

    Args:
        headers: In a form JSON can hold.
    """
    kept = dict(headers)
    sizes = {key: _size_bytes(key, value) for key, value in kept.items()}
    total = sum(sizes.values())
    for may_drop in (False, True):
        for key in sorted(kept, key=sizes.__getitem__, reverse=True):
            if total <= MAX_HEADERS_BYTES:
                return kept
            total -= sizes[key]
            if may_drop:
                del kept[key]
                continue
            kept[key] = str(kept[key])[:CUT_CHARACTERS]
            sizes[key] = _size_bytes(key, kept[key])
            total += sizes[key]
    return kept


def _size_bytes(key: str, value: Any) -> int:
    # Never less than in a frame, where each value has a type and a length of 9 bytes at most.
    return len(key.encode()) + len(json.dumps(value, ensure_ascii=False).encode()) + 16


def json_safe(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Return message headers in a form JSON can hold; what it cannot is written as text."""
    return {storable(key): _json_safe(value) for key, value in headers.items()}


def _json_safe(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, list):
        return [_json_safe(part) for part in cast("list[Any]", value)]
    if isinstance(value, dict):
        return json_safe(cast("dict[str, Any]", value))
    return value if isinstance(value, str | int | float | bool | None) else str(value)
