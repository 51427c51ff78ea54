"""What a requeue run does next: one letter, then ten, then the rest at its rate. Plain decisions, without I/O."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Literal

Stage = Literal["canary_1", "canary_10", "all"]

FIRST_LETTERS = 1
NEXT_LETTERS = 10
# How often a run is looked at.
STEP_S = 0.2
# Sent and not answered for yet: how much a run may send into a consumer that has fallen behind.
MAX_IN_FLIGHT = 1_000


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands, after the outcomes that came in since the last step were counted.

    Attributes:
        state: ``running`` or ``stopped``.
        stage: How far it was let.
        rate_per_s: Letters it may send a second.
        total: Letters it has.
        sent: How many of them it has sent.
        in_flight: Sent, and neither handled nor failed yet.
        oldest_sent_at: Of those in flight that the broker has: confirmed then.
        failure: What a letter failed of again, when one did.
    """

    state: str
    stage: Stage
    rate_per_s: int
    total: int
    sent: int
    in_flight: int
    oldest_sent_at: datetime | None
    failure: str | None


@dataclass(frozen=True, slots=True)
class Move:
    """A run's next step.

    Attributes:
        stage: Its stage from now on.
        next_at: When to look again.
        send: How many letters to send now.
        stop_reason: Set when it stops here.
        done: Every letter was handled.
        finished: There is nothing to look at any more.
    """

    stage: Stage
    next_at: datetime
    send: int = 0
    stop_reason: str | None = None
    done: bool = False
    finished: bool = False


def next_move(progress: Progress, *, now: datetime, answer_timeout_s: float) -> Move:
    """Return what a run does now.

    Args:
        progress: Where it stands.
        now: The present.
        answer_timeout_s: How long a letter sent may go without being handled or failing.
    """
    soon = now + timedelta(seconds=STEP_S)
    oldest = progress.oldest_sent_at
    unanswered = oldest is not None and now - oldest > timedelta(seconds=answer_timeout_s)
    if progress.state != "running":
        # Followed to the end, so that its counts tell what became of each letter.
        return Move(progress.stage, soon, finished=progress.in_flight == 0 or unanswered)
    if progress.failure is not None:
        return Move(progress.stage, soon, stop_reason=progress.failure)
    if unanswered:
        why = f"No answer within {answer_timeout_s:g} s to {progress.in_flight} letters: does the consumer run?"
        return Move(progress.stage, soon, stop_reason=why)
    stage = progress.stage
    if _left(stage, progress) == 0:
        if progress.in_flight > 0:
            return Move(stage, soon)
        if progress.sent >= progress.total:
            return Move(stage, now, done=True, finished=True)
        stage = "canary_10" if stage == "canary_1" else "all"
    a_step = max(1, round(progress.rate_per_s * STEP_S))
    send = max(0, min(_left(stage, progress), a_step, MAX_IN_FLIGHT - progress.in_flight))
    # Rounded up: moments have microseconds, and the next one must not come too early for the rate.
    pause = max(timedelta(seconds=STEP_S), timedelta(microseconds=ceil(send / progress.rate_per_s * 1_000_000)))
    return Move(stage, now + pause, send=send)


def _left(stage: Stage, progress: Progress) -> int:
    """Return how many letters a stage still has to send."""
    reach = {"canary_1": FIRST_LETTERS, "canary_10": FIRST_LETTERS + NEXT_LETTERS, "all": progress.total}[stage]
    return max(0, min(reach, progress.total) - progress.sent)
