"""Dead letters of every service, for operators."""

import asyncio
import base64
import json
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, cast
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import Response

from rappit_console.api_client import ApiAwayError, ApiRefusedError
from rappit_console.pages.desk import Desk, SignedIn
from rappit_console.readers import DeadLetter, DeadLetterWhole, PageOf
from rappit_console.views import Toast

# Each service, and the prefix that the ingress gives it.
SERVICES = {"orders": "orders", "inventory": "inventory", "shipping": "shipping", "webhook-gateway": "channels"}
STATUSES = ("dead", "requeueing", "requeued", "discarded")
PAGE_ROWS = "25"
MAX_FOLLOWS = 20
FIRST_DAY = datetime.min.replace(tzinfo=UTC)

Service = Literal["orders", "inventory", "shipping", "webhook-gateway"]
Follow = Annotated[int, Query(ge=0, le=MAX_FOLLOWS)]

router = APIRouter(prefix="/console/dead-letters")


@router.get("")
async def list_dead_letters(
    desk: SignedIn,
    service: Literal[""] | Service = "",
    status: Literal["", "dead", "requeueing", "requeued", "discarded"] = "",
    cursor: Annotated[str, Query(max_length=2048)] = "",
) -> Response:
    """List what failed in all services, the newest first within each page.

    A service that is away is named above the list, and the others are shown.
    """
    asked = _decode(cursor) if cursor else dict.fromkeys([service] if service else SERVICES, "")
    pages = await asyncio.gather(*(_read(desk, name, status, position) for name, position in asked.items()))
    letters = [letter for page in pages if isinstance(page, PageOf) for letter in page.items]
    letters.sort(key=lambda letter: letter.last_failed_at or FIRST_DAY, reverse=True)
    following = {
        name: page.next_cursor
        for name, page in zip(asked, pages, strict=True)
        if isinstance(page, PageOf) and page.next_cursor
    }
    query = {"service": service, "status": status, "cursor": _encode(following)}
    context: dict[str, Any] = {
        "letters": letters,
        "away": {name: page for name, page in zip(asked, pages, strict=True) if isinstance(page, ApiAwayError)},
        "service": service,
        "status": status,
        "services": SERVICES,
        "statuses": STATUSES,
        "more": f"/console/dead-letters?{urlencode(query)}" if following else None,
    }
    if desk.wants_fragment:
        return desk.fragment("dead_letters/_rows.html" if cursor else "dead_letters/_list.html", **context)
    return desk.page("dead_letters/list.html", **context)


@router.get("/{service}/{letter_id}")
async def show_dead_letter(desk: SignedIn, service: Service, letter_id: UUID) -> Response:
    """Show one dead letter whole."""
    letter = await desk.api.get(f"{_letters(service)}/{letter_id}", DeadLetterWhole)
    return desk.page("dead_letters/detail.html", letter=letter, follow=_follow(letter, 0))


@router.get("/{service}/{letter_id}/{part}")
async def show_status(
    desk: SignedIn, service: Service, letter_id: UUID, part: Literal["row", "status"], n: Follow = MAX_FOLLOWS
) -> Response:
    """Show a dead letter's row or status again, while it is on its way back to its queue."""
    letter = await desk.api.get(f"{_letters(service)}/{letter_id}", DeadLetterWhole)
    return desk.fragment(f"dead_letters/_{part}.html", letter=letter, follow=_follow(letter, n))


@router.post("/{service}/{letter_id}/requeue")
async def requeue_dead_letter(
    desk: SignedIn, service: Service, letter_id: UUID, part: Literal["row", "status"] = "status"
) -> Response:
    """Send a dead letter back to its queue, and answer with the part of the page that shows it."""
    answer = await desk.api.call("POST", f"{_letters(service)}/{letter_id}/requeue")
    letter = answer.read(DeadLetterWhole)
    toast = Toast("success", f"Sent back to {letter.queue}.")
    return desk.fragment(f"dead_letters/_{part}.html", toast=toast, letter=letter, follow=_follow(letter, 0))


def _letters(service: str) -> str:
    return f"/{SERVICES[service]}/ops/dead-letters"


async def _read(desk: Desk, service: str, status: str, cursor: str) -> PageOf[DeadLetter] | ApiAwayError:
    try:
        return await desk.api.get(_letters(service), PageOf[DeadLetter], status=status, limit=PAGE_ROWS, cursor=cursor)
    except ApiAwayError as away:
        return away


def _follow(letter: DeadLetter, n: int) -> int | None:
    """Return the number of the next look, or None when there is nothing to wait for."""
    return n + 1 if letter.status == "requeueing" and n < MAX_FOLLOWS else None


def _encode(positions: dict[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(positions).encode()).decode()


def _decode(cursor: str) -> dict[str, str]:
    """Return where each service's list goes on.

    Raises:
        ApiRefusedError: It was not made here.
    """
    try:
        positions: object = json.loads(base64.urlsafe_b64decode(cursor))
    except ValueError:
        positions = None
    if not isinstance(positions, dict):
        raise ApiRefusedError(422, "invalid_cursor", "This list cannot go on from there: open it again.")
    known = cast("dict[object, object]", positions)
    return {name: str(known[name]) for name in SERVICES if name in known}
