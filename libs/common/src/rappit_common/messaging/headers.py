"""Message headers come from anywhere: brought into a form that our table, and a copy of the message, can hold."""

import base64
import math
from collections.abc import Mapping
from typing import Any, cast


def storable(text: str) -> str:
    """Return ``text`` without what PostgreSQL's text cannot hold: NUL and lone surrogates become replacement marks."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


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
