"""Acting on dead letters: each act is written to the audit log in its own transaction."""

import hashlib
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response

from rappit_common.clock import utc_now
from rappit_common.messaging.dead_letters import acts
from rappit_common.messaging.dead_letters.edits import check_edited_body
from rappit_common.messaging.dead_letters.refusals import (
    DeadLetterInRunError,
    DeadLetterNotDeadError,
    DeadLetterNotFoundError,
    EditedBodyInvalidError,
    TooManyLettersError,
)
from rappit_common.messaging.dead_letters.requeue import refuse_unless_dead, requeue_letter, travelling_headers
from rappit_common.messaging.dead_letters.search import get_letter
from rappit_common.messaging.topology import Subscription
from rappit_common.web.auth import Operator
from rappit_common.web.ops.bodies import (
    ChangedLetters,
    ChangeLetters,
    DeadLetterDetail,
    DiscardDeadLetter,
    GivenReason,
    NewNote,
    Note,
    RequeueDeadLetter,
    RequeuedLetter,
    RequeuePreview,
    WouldSend,
)
from rappit_common.web.ops.listing import shown_whole
from rappit_common.web.ops.pretty import unified_diff
from rappit_common.web.ops.units import REFUSED, Acting
from rappit_common.web.problems import errors

MAX_AUDITED_DIFF_LINES = 100
MAX_AUDITED_LINE_CHARACTERS = 300

_NOT_NOW = (DeadLetterNotFoundError, DeadLetterNotDeadError, DeadLetterInRunError)


def acting_router(service: str, subscriptions: dict[str, Subscription]) -> APIRouter:
    """Return the endpoints that change dead letters."""
    router = APIRouter(prefix="/dead-letters")
    _add_requeue(router, service, subscriptions)
    _add_acts_on_one(router, service, subscriptions)
    _add_acts_on_many(router)
    return router


def _add_requeue(router: APIRouter, service: str, subscriptions: dict[str, Subscription]) -> None:
    @router.post(
        "/{letter_id}/requeue",
        status_code=202,
        responses={200: {"model": RequeuePreview}, **errors(*REFUSED, *_NOT_NOW, EditedBodyInvalidError)},
    )
    async def requeue_dead_letter(  # pyright: ignore[reportUnusedFunction] - called by FastAPI
        letter_id: UUID, unit: Acting, principal: Operator, response: Response, how: RequeueDeadLetter | None = None
    ) -> RequeuedLetter | RequeuePreview:
        """Send a dead letter back to its queue, as it is or with an edited body; twice at once requeues once."""
        how = how or RequeueDeadLetter()
        failed = await get_letter(unit.session, letter_id)
        edited = None if how.body is None else how.body.encode()
        if edited is not None:
            check_edited_body(subscriptions.get(failed.queue), failed.headers, edited)
        diff = [] if edited is None else unified_diff(failed.body, edited)
        if how.dry_run:
            refuse_unless_dead(failed)
            response.status_code = 200
            headers = travelling_headers(failed.headers)
            copy = WouldSend(exchange="", routing_key=failed.queue, message_id=failed.message_id, headers=headers)
            return RequeuePreview(would_send=copy, diff=diff)
        await requeue_letter(unit, letter_id, actor=principal.label, now=utc_now(), edited_body=edited)
        await unit.audit(
            principal.label,
            "dead_letter.requeue",
            how.reason,
            organization_id=failed.organization_id,
            letter_id=str(letter_id),
            **_audited_edit(failed.body, edited, diff),
        )
        shown = await shown_whole(service, subscriptions, unit, letter_id)
        return RequeuedLetter(**dict(shown), diff=diff)


def _audited_edit(failed: bytes, edited: bytes | None, diff: list[str]) -> dict[str, Any]:
    digests: dict[str, Any] = {"failed_sha256": hashlib.sha256(failed).hexdigest()}
    if edited is not None:
        digests["edited_sha256"] = hashlib.sha256(edited).hexdigest()
        # NUL, which JSON may escape, is the one character the log cannot hold.
        digests["diff"] = [
            line[:MAX_AUDITED_LINE_CHARACTERS].replace("\x00", "\ufffd") for line in diff[:MAX_AUDITED_DIFF_LINES]
        ]
    return digests


def _add_acts_on_one(router: APIRouter, service: str, subscriptions: dict[str, Subscription]) -> None:
    @router.post("/{letter_id}/discard", responses=errors(*REFUSED, *_NOT_NOW))
    async def discard_dead_letter(  # pyright: ignore[reportUnusedFunction] - called by FastAPI
        letter_id: UUID, unit: Acting, principal: Operator, why: DiscardDeadLetter
    ) -> DeadLetterDetail:
        """Put a dead letter aside for good; repeating it changes nothing."""
        label = principal.label
        changed = await acts.discard_letter(unit, letter_id, actor=label, reason=why.reason, now=utc_now())
        shown = await shown_whole(service, subscriptions, unit, letter_id)
        if changed:
            organization_id = shown.organization_id
            await unit.audit(
                label, "dead_letter.discard", why.reason, organization_id=organization_id, letter_id=str(letter_id)
            )
        return shown

    @router.post("/{letter_id}/restore", responses=errors(*REFUSED, *_NOT_NOW))
    async def restore_dead_letter(  # pyright: ignore[reportUnusedFunction] - called by FastAPI
        letter_id: UUID, unit: Acting, principal: Operator, why: GivenReason | None = None
    ) -> DeadLetterDetail:
        """Make a discarded letter dead again; repeating it changes nothing."""
        changed = await acts.restore_letter(unit, letter_id)
        shown = await shown_whole(service, subscriptions, unit, letter_id)
        if changed:
            reason, organization_id = (why or GivenReason()).reason, shown.organization_id
            await unit.audit(
                principal.label,
                "dead_letter.restore",
                reason,
                organization_id=organization_id,
                letter_id=str(letter_id),
            )
        return shown

    @router.post("/{letter_id}/notes", status_code=201, responses=errors(*REFUSED, DeadLetterNotFoundError))
    async def note_dead_letter(  # pyright: ignore[reportUnusedFunction] - called by FastAPI
        letter_id: UUID, unit: Acting, principal: Operator, note: NewNote
    ) -> Note:
        """Write down something about a letter for whoever looks at it next."""
        now = utc_now()
        organization_id = await acts.add_note(unit, letter_id, author=principal.label, words=note.text, now=now)
        await unit.audit(
            principal.label,
            "dead_letter.note",
            "noted",
            organization_id=organization_id,
            letter_id=str(letter_id),
        )
        return Note(author=principal.label, at=now, text=note.text)


def _add_acts_on_many(router: APIRouter) -> None:
    @router.post("/discard", responses=errors(*REFUSED, TooManyLettersError))
    async def discard_dead_letters(unit: Acting, principal: Operator, which: ChangeLetters) -> ChangedLetters:  # pyright: ignore[reportUnusedFunction] - called by FastAPI
        """Put many dead letters aside: those named, or all that a filter finds."""
        label, dry_run = principal.label, which.dry_run
        changed = await acts.discard_letters(
            unit, which, actor=label, reason=which.reason, now=utc_now(), dry_run=dry_run
        )
        return await _told(unit, label, "dead_letters.discard", which, changed)

    @router.post("/restore", responses=errors(*REFUSED, TooManyLettersError))
    async def restore_dead_letters(unit: Acting, principal: Operator, which: ChangeLetters) -> ChangedLetters:  # pyright: ignore[reportUnusedFunction] - called by FastAPI
        """Make many discarded letters dead again."""
        changed = await acts.restore_letters(unit, which, dry_run=which.dry_run)
        return await _told(unit, principal.label, "dead_letters.restore", which, changed)


async def _told(unit: Acting, actor: str, action: str, which: ChangeLetters, changed: acts.Changed) -> ChangedLetters:
    counts: dict[str, Any] = {"matched": changed.matched, "changed": changed.changed}
    if not which.dry_run:
        await unit.audit(actor, action, which.reason, **which.told(), **counts)
    return ChangedLetters(**counts)
