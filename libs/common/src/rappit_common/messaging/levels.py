"""How much waits: the outbox's lag and the dead letters, looked at every 15 s and told as metrics.

Each look is one query that reads a bounded number of rows, whatever waits there.
"""

import asyncio
from collections import Counter

from sqlalchemy import func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from rappit_common.database.engine import Database
from rappit_common.logs import get_logger
from rappit_common.messaging import tables
from rappit_common.metrics import Level

LOOK_EVERY_S = 15.0
MAX_ROWS = 10_000

OUTBOX_LAG = Level(
    "rappit.outbox.lag", unit="s", description="How long the oldest row that should have been sent has waited."
)
OUTBOX_UNSENT = Level(
    "rappit.outbox.unsent",
    unit="{row}",
    description=f"Rows to be sent, those put off by a refusal included; {MAX_ROWS} stands for that many or more.",
)
DEAD_LETTERS = Level(
    "rappit.dead_letters",
    unit="{message}",
    description=f"Messages in the dead-letter table that nobody has dealt with, the first {MAX_ROWS} of the service.",
)

_log = get_logger()
_outbox = tables.outbox.c
_letters = tables.dead_letters.c

_WAITING = (
    select(_outbox.available_at)
    .where(_outbox.sent_at.is_(None))
    .order_by(_outbox.available_at)
    .limit(MAX_ROWS)
    .subquery("waiting")
)
# Whoever is put off until later, and is not due yet, does not lag.
_LAG_S = func.greatest(0, func.extract("epoch", func.now() - func.min(_WAITING.c.available_at)))
_OUTBOX = select(func.count(), func.coalesce(_LAG_S, 0)).select_from(_WAITING)

_DEAD = select(_letters.queue).where(_letters.status == literal_column("'dead'")).limit(MAX_ROWS).subquery("dead")
_DEAD_BY_QUEUE = select(_DEAD.c.queue, func.count()).group_by(_DEAD.c.queue)


class Levels:
    """Looks at a service's outbox and dead letters for as long as the process runs.

    Args:
        database: The service's own.
        outbox: Whether to look at the outbox: where the relay runs.
        queues: Whose dead letters to look at: where they are consumed.
    """

    def __init__(self, database: Database, *, outbox: bool = False, queues: tuple[str, ...] = ()) -> None:
        self._database = database
        self._outbox = outbox
        self._queues = queues
        self._looking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to look in the background."""
        self._looking = asyncio.create_task(self._look_forever(), name="levels")

    async def stop(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def _look_forever(self) -> None:
        while True:
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001 - looked at again soon
                # An old value would be a lie, and none is what alerts on a process that cannot tell are made of.
                for level in (OUTBOX_LAG, OUTBOX_UNSENT) if self._outbox else (DEAD_LETTERS,):
                    level.clear()
                _log.warning("levels_unknown", error=repr(error))
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Take the values that are told until the next look."""
        async with self._database.engine.connect() as connection:
            if self._outbox:
                await self._look_at_outbox(connection)
            if self._queues:
                await self._look_at_dead_letters(connection)

    async def _look_at_outbox(self, connection: AsyncConnection) -> None:
        unsent, lag_s = (await connection.execute(_OUTBOX)).one()
        OUTBOX_UNSENT.set(unsent)
        OUTBOX_LAG.set(float(lag_s))

    async def _look_at_dead_letters(self, connection: AsyncConnection) -> None:
        dead: Counter[str] = Counter()
        for queue, count in await connection.execute(_DEAD_BY_QUEUE):
            dead[queue] = count
        for queue in self._queues:
            DEAD_LETTERS.set(dead[queue], queue=queue)
