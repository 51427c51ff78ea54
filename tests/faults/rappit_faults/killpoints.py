"""Kill points: named places in a running service where it dies by SIGKILL, once, when somebody has armed them.

They are put around what the messaging library and the database's driver do at the bottom, and not around our own
functions: whatever path a message takes, and however our code is cut tomorrow, a commit is a commit and an ack an ack.
"""

import functools
import os
import signal
import time
from pathlib import Path
from typing import Any

import aiormq
from rappit_common.messaging.publisher import Publisher
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg

POINTS = (
    "before_commit",
    "after_commit",
    "before_publish",
    "after_publish",
    "after_confirm",
    "before_ack",
    "after_ack",
)
"""``after_publish`` is the moment when the broker's confirm has arrived and nobody has seen it yet."""

ARMED, FIRED = "armed", "fired"


def arm(folder: Path, service: str, point: str, let_by: int = 0) -> None:
    """Let a service die at a point, after so many passages. Whole at once: a half-written file would be let by."""
    scratch = folder / f"{service}.{point}"
    scratch.write_text(str(let_by))
    scratch.rename(folder / ARMED / scratch.name)


class KillPoints:
    """One process's points. A point is armed by a file, which is moved away before the death: the next process lives.

    Args:
        folder: Holds ``armed/<service>.<point>``, whose text says how many passages are let by first.
        service: This process's name.
    """

    def __init__(self, folder: Path, service: str) -> None:
        self._armed = {point: folder / ARMED / f"{service}.{point}" for point in POINTS}
        self._fired = folder / FIRED
        self._passed = dict.fromkeys(POINTS, 0)

    def reach(self, point: str) -> None:
        """Pass a point, or die there."""
        armed = self._armed[point]
        if not armed.exists():
            self._passed[point] = 0
            return
        try:
            let_by = int(armed.read_text() or 0)
            self._passed[point] += 1
            if self._passed[point] <= let_by:
                return
            armed.rename(self._fired / f"{armed.name}.{time.time_ns()}")
        except OSError:
            # Disarmed between our look and our step.
            return
        os.kill(os.getpid(), signal.SIGKILL)


def install(points: KillPoints) -> None:
    """Put the points around every commit, publish, confirm and ack of this process."""
    _around_commits(points)
    _around_publishes(points)
    _around_acks(points)


def _around_commits(points: KillPoints) -> None:
    commit = PGDialect_asyncpg.do_commit

    @functools.wraps(commit)
    def do_commit(dialect: Any, connection: Any) -> None:
        points.reach("before_commit")
        commit(dialect, connection)
        points.reach("after_commit")

    PGDialect_asyncpg.do_commit = do_commit


def _around_publishes(points: KillPoints) -> None:
    publish = aiormq.Channel.basic_publish
    confirm = aiormq.Channel._confirm_delivery

    @functools.wraps(publish)
    async def basic_publish(channel: Any, *arguments: Any, **named: Any) -> Any:
        points.reach("before_publish")
        answer = await publish(channel, *arguments, **named)
        points.reach("after_confirm")
        return answer

    @functools.wraps(confirm)
    def _confirm_delivery(channel: Any, *arguments: Any, **named: Any) -> None:
        points.reach("after_publish")
        confirm(channel, *arguments, **named)

    # The relay's batches go past it, to be written together; their confirms arrive as all others do.
    publish_all = Publisher.publish_all

    @functools.wraps(publish_all)
    async def publish_batch(publisher: Any, messages: Any) -> Any:
        points.reach("before_publish")
        answers = await publish_all(publisher, messages)
        points.reach("after_confirm")
        return answers

    aiormq.Channel.basic_publish = basic_publish
    Publisher.publish_all = publish_batch
    aiormq.Channel._confirm_delivery = _confirm_delivery


def _around_acks(points: KillPoints) -> None:
    ack = aiormq.Channel.basic_ack

    @functools.wraps(ack)
    async def basic_ack(channel: Any, *arguments: Any, **named: Any) -> None:
        points.reach("before_ack")
        await ack(channel, *arguments, **named)
        points.reach("after_ack")

    aiormq.Channel.basic_ack = basic_ack
