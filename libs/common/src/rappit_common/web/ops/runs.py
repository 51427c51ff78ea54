"""Requeue runs: begun, watched and stopped."""

from uuid import UUID

from fastapi import APIRouter, Response

from rappit_common.clock import utc_now
from rappit_common.messaging.dead_letters import runs
from rappit_common.messaging.dead_letters.refusals import (
    NothingToRequeueError,
    RequeueRunNotFoundError,
    TooManyLettersError,
)
from rappit_common.pagination import (
    DEFAULT_PAGE_ROWS,
    InvalidCursorError,
    Page,
    PageCursor,
    PageLimit,
    decode_id_cursor,
    encode_cursor,
)
from rappit_common.web.auth import Operator
from rappit_common.web.ops.bodies import BeginRun, Destination, GivenReason, RequeueRun, RequeueRunPreview
from rappit_common.web.ops.units import REFUSED, Acting, Reading
from rappit_common.web.problems import errors


def runs_router(service: str) -> APIRouter:
    """Return the endpoints of a service's requeue runs."""
    router = APIRouter(prefix="/requeue-runs")

    @router.post(
        "",
        status_code=202,
        responses={
            200: {"model": RequeueRunPreview},
            **errors(*REFUSED, NothingToRequeueError, TooManyLettersError),
        },
    )
    async def begin_requeue_run(  # pyright: ignore[reportUnusedFunction] - called by FastAPI
        asked: BeginRun, unit: Acting, principal: Operator, response: Response
    ) -> RequeueRun | RequeueRunPreview:
        """Send many letters back: one, then ten, then the rest at a rate; it stops when one fails again."""
        if asked.dry_run:
            response.status_code = 200
            return _previewed(await runs.preview_run(unit, asked))
        order = runs.RunOrder(asked, asked.reason, asked.canary, asked.rate_per_s, principal.label)
        run_id = await runs.begin_run(unit, order, now=utc_now())
        run = await runs.get_run(unit, run_id)
        await unit.audit(
            principal.label,
            "requeue_run.begin",
            asked.reason,
            run_id=str(run_id),
            total=run.total,
            canary=asked.canary,
            rate_per_s=asked.rate_per_s,
            **asked.told(),
        )
        return RequeueRun.of(service, run)

    @router.get("", responses=errors(*REFUSED, InvalidCursorError))
    async def list_requeue_runs(  # pyright: ignore[reportUnusedFunction] - called by FastAPI
        unit: Reading, limit: PageLimit = DEFAULT_PAGE_ROWS, cursor: PageCursor = None
    ) -> Page[RequeueRun]:
        """List runs, the newest first."""
        before_id = None if cursor is None else decode_id_cursor(cursor)
        rows = await runs.page_of_runs(unit, limit=limit + 1, before_id=before_id)
        page = [RequeueRun.of(service, row) for row in rows[:limit]]
        return Page(items=page, next_cursor=encode_cursor(str(page[-1].id)) if len(rows) > limit else None)

    @router.get("/{run_id}", responses=errors(*REFUSED, RequeueRunNotFoundError))
    async def get_requeue_run(run_id: UUID, unit: Reading) -> RequeueRun:  # pyright: ignore[reportUnusedFunction] - called by FastAPI
        """Show how far a run is."""
        return RequeueRun.of(service, await runs.get_run(unit, run_id))

    @router.post("/{run_id}/stop", responses=errors(*REFUSED, RequeueRunNotFoundError))
    async def stop_requeue_run(  # pyright: ignore[reportUnusedFunction] - called by FastAPI
        run_id: UUID, unit: Acting, principal: Operator, why: GivenReason | None = None
    ) -> RequeueRun:
        """Stop a run: what it has not sent is dead again; repeating it changes nothing."""
        reason = (why or GivenReason()).reason
        words = f"Stopped by {principal.label}: {reason}"
        if await runs.stop_run(unit, run_id, why=words, now=utc_now()):
            await unit.audit(principal.label, "requeue_run.stop", reason, run_id=str(run_id))
        return RequeueRun.of(service, await runs.get_run(unit, run_id))

    return router


def _previewed(preview: runs.RunPreview) -> RequeueRunPreview:
    return RequeueRunPreview(
        total=preview.total,
        destinations=[
            Destination(queue=queue, event=event, count=count) for queue, event, count in preview.destinations
        ],
        sample_ids=list(preview.sample_ids),
    )
