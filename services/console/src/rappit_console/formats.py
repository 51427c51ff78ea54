"""How values read on a page."""

import base64
import json
from datetime import UTC, datetime

TONES = {
    "received": "info",
    "on_hold": "warn",
    "backordered": "warn",
    "reserved": "ok",
    "ready_to_ship": "ok",
    "partially_shipped": "ok",
    "shipped": "ok",
    "delivered": "ok",
    "cancelled": "muted",
    "returned": "muted",
    "purchasing": "info",
    "labelled": "ok",
    "outcome_unknown": "warn",
    "void_pending": "info",
    "voided": "muted",
    "failed": "bad",
    "pending": "warn",
    "authorized": "info",
    "paid": "ok",
    "partially_paid": "warn",
    "refunded": "muted",
    "partially_refunded": "muted",
    "dead": "bad",
    "requeueing": "info",
    "requeued": "ok",
}
# States whose code alone would leave a person guessing, and names that are not words.
WORDS = {
    "purchasing": "Being bought",
    "outcome_unknown": "Asking the carrier",
    "void_pending": "Being voided",
    "failed": "Not bought",
    "dhl": "DHL",
    "fedex": "FedEx",
    "woocommerce": "WooCommerce",
}
MAX_SHOWN_CHARACTERS = 200_000


def words(code: str | None) -> str:
    """Return a code as people read it: ``ready_to_ship`` is ``Ready to ship``, ``fedex`` is ``FedEx``."""
    return WORDS.get(code or "") or (code or "unknown").replace("_", " ").capitalize()


def tone(code: str | None) -> str:
    """Return the badge colour of a state; unknown states are neutral."""
    return TONES.get(code or "", "muted")


def name(label: str) -> str:
    """Return who did something: services, channels and carriers as people write them, a person's address as it is."""
    return label if "@" in label else words(label)


def happening(kind: str, message: str) -> str:
    """Return a timeline's entry as a sentence; a change of state comes as codes."""
    before, arrow, after = message.partition(" \N{RIGHTWARDS ARROW} ")
    if kind == "state_changed" and arrow:
        return f"{words(before)} {arrow.strip()} {words(after)}"
    return message or words(kind)


def moment(value: datetime | None) -> str:
    """Return a time in UTC to the minute; pages carry the exact one in ``datetime``."""
    return value.astimezone(UTC).strftime("%d %b %Y, %H:%M UTC") if value else "\N{EN DASH}"


def duration(milliseconds: float) -> str:
    """Return a duration as people say it: ``12 ms``, ``3.4 s``."""
    return f"{milliseconds / 1000:.1f} s" if milliseconds >= 1000 else f"{milliseconds:.0f} ms"  # noqa: PLR2004 - a second


def money(amount: str | None, currency: str | None) -> str:
    """Return an amount with its currency."""
    return f"{amount} {currency or ''}".strip() if amount is not None else "\N{EN DASH}"


def pretty(body: str, encoding: str = "utf-8") -> str:
    """Return a message's body laid out for reading: JSON indented, other text as it is, at most 200,000 characters.

    Args:
        body: Text, or base64 when ``encoding`` says so.
        encoding: ``utf-8`` or ``base64``.
    """
    if encoding == "base64":
        try:
            return _hexdump(base64.b64decode(body, validate=True)[: MAX_SHOWN_CHARACTERS // 80 * 16])
        except ValueError:
            return body[:MAX_SHOWN_CHARACTERS]
    try:
        laid_out = _indented(json.loads(body))
    except (ValueError, RecursionError):
        laid_out = body
    if len(laid_out) > MAX_SHOWN_CHARACTERS:
        return laid_out[:MAX_SHOWN_CHARACTERS] + "\n… cut here; the API gives the rest"
    return laid_out


def _indented(value: object) -> str:
    """Return JSON indented, as far as it is shown: a small body that is deep and wide would become a gigabyte."""
    parts: list[str] = []
    characters = 0
    for part in json.JSONEncoder(indent=2, ensure_ascii=False).iterencode(value):
        parts.append(part)
        characters += len(part)
        if characters > MAX_SHOWN_CHARACTERS:
            break
    return "".join(parts)


def _hexdump(raw: bytes) -> str:
    lines: list[str] = []
    for start in range(0, len(raw), 16):
        part = raw[start : start + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)  # noqa: PLR2004 - printable ASCII
        lines.append(f"{start:08x}  {part.hex(' '):<47}  {text}")
    return "\n".join(lines)
