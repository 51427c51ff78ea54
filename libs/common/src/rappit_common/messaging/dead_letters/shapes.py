"""What makes two dead letters alike, and the words one is found by."""

import codecs
import hashlib
import json
import re

from rappit_common.messaging.headers import storable

MAX_SHAPED_CHARACTERS = 500
MAX_SHAPE_CHARACTERS = 300
GROUP_KEY_CHARACTERS = 16
MAX_SEARCHED_MESSAGE_CHARACTERS = 4_000
MAX_SEARCHED_BODY_BYTES = 64 * 1024

_UUID = re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b")
# A lone apostrophe is grammar: only one that begins a word opens a quotation.
_QUOTED = re.compile(r"\"[^\"]*\"|(?<!\w)'[^']*'(?!\w)|\u201c[^\u201d]*\u201d")
_HEX = re.compile(r"\b0x[0-9a-fA-F]+\b|\b(?=[a-fA-F]*[0-9])[0-9a-fA-F]{8,}\b")
_NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:[.,:]\d+)*(?!\w)")
_MIXED = re.compile(r"\w*\d\w*")


def message_shape(message: str) -> str:
    """Return an error's message with what differs from case to case replaced by marks.

    Ids become ``<id>``, quoted values ``<value>``, hexadecimal digits ``<hex>``, and numbers ``<number>``.
    """
    shape = _UUID.sub("<id>", message[:MAX_SHAPED_CHARACTERS])
    shape = _QUOTED.sub("<value>", shape)
    shape = _HEX.sub("<hex>", shape)
    shape = _NUMBER.sub("<number>", shape)
    shape = _MIXED.sub("<id>", shape)
    return " ".join(shape.split())[:MAX_SHAPE_CHARACTERS]


def group_key(queue: str, error_type: str, shape: str) -> str:
    """Return what letters that failed in one queue in one way have in common, as 16 hexadecimal digits."""
    return hashlib.sha256(f"{queue}\0{error_type}\0{shape}".encode()).hexdigest()[:GROUP_KEY_CHARACTERS]


def searchable_text(error_message: str, body: bytes) -> str:
    """Return the words a letter is found by: its error's, and those of the first 64 KiB of a body that is text."""
    return f"{error_message[:MAX_SEARCHED_MESSAGE_CHARACTERS]}\n{_text_of(body)}"


def _text_of(body: bytes) -> str:
    written = _written_anew(body) if len(body) <= MAX_SEARCHED_BODY_BYTES else None
    if written is not None:
        return written
    try:
        # Not final: the cut may go through a character.
        return storable(codecs.getincrementaldecoder("utf-8")().decode(body[:MAX_SEARCHED_BODY_BYTES]))
    except UnicodeDecodeError:
        return ""


def _written_anew(body: bytes) -> str | None:
    """Return JSON with its letters plain: many a channel escapes those outside of ASCII, and every slash."""
    try:
        return storable(json.dumps(json.loads(body), ensure_ascii=False))
    except (ValueError, RecursionError):
        return None
