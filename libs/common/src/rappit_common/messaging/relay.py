"""The relay: publishes outbox rows with confirms, and only then marks them sent.

Several relays may run at once: each takes rows nobody else holds. The rows stay locked while they are published, which
is the one place where a transaction waits for the network: it is what lets a relay die at any point without losing a
row (docs/adr/0002). A row published twice after such a death is absorbed by the consumers' inboxes.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, Table, bindparam, delete, func, literal_column, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from rappit_common.database.engine import Database
from rappit_common.logs import get_logger
from rappit_common.messaging import tables
from rappit_common.messaging.publisher import BrokerAwayError, NotTakenError, Publisher, UnroutableError

MAX_BACKOFF_S = 60
KEEP_SENT = timedelta(days=1)
KEEP_CLAIMS = timedelta(days=7)
PURGE_EVERY_S = 60.0
PURGE_ROWS = 5_000
ERROR_PAUSE_S = 1.0
# A little more than a publish waits for its confirm.
STOP_S = 6.0

_log = get_logger()
_outbox = tables.outbox.c


@dataclass(frozen=True, slots=True)
class _Failure:
    row_id: Any
    error: str
    broker_away: bool


class Relay:
    """Drains one service's outbox.

    Args:
        database: The service's own.
        publisher: Where to.
        batch_rows: Rows taken and published together at most.
        poll_s: How often to look when nobody nudges.
        also_purge: Called after each purge of outbox and inbox, for what else grows old in the schema.
    """

    def __init__(
        self,
        database: Database,
        publisher: Publisher,
        *,
        batch_rows: int = 200,
        poll_s: float = 0.1,
        also_purge: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._database = database
        self._publisher = publisher
        self._batch_rows = batch_rows
        self._poll_s = poll_s
        self._also_purge = also_purge
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._stop = asyncio.Event()

    def nudge(self) -> None:
        """Look at once: a unit of work of this process has just committed something."""
        self._wake.set()

    async def start(self) -> None:
        """Begin to relay in the background."""
        self._stop.clear()
        self._tasks = [
            asyncio.create_task(self._run(), name="outbox-relay"),
            asyncio.create_task(self._purge_forever(), name="outbox-purge"),
        ]

    async def stop(self) -> None:
        """Stop after the batch in hand; what is left stays in the outbox."""
        self._stop.set()
        self._wake.set()
        if not self._tasks:
            return
        relay, *others = self._tasks
        for task in others:
            task.cancel()
        # Cut short, it would leave published rows unmarked, and they would all be published again.
        await asyncio.wait([relay], timeout=STOP_S)
        relay.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self) -> None:
        while not self._stop.is_set():
            try:
                full = await self.drain_once() >= self._batch_rows
            except Exception as error:  # noqa: BLE001 - whatever happened, the rows are still there and are tried again
                _log.warning("relay_paused", error=repr(error))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(ERROR_PAUSE_S):
                        await self._stop.wait()
                continue
            if full:
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._poll_s):
                    await self._wake.wait()
            self._wake.clear()

    async def drain_once(self) -> int:
        """Publish one batch. Returns how many rows were taken.

        Raises:
            BrokerAwayError: There is no connection, or some publishes were not confirmed; those rows stay as they were.
        """
        if not self._publisher.is_connected:
            raise BrokerAwayError("the message broker is away")
        self._wake.clear()
        async with self._database.engine.begin() as connection:
            rows = await self._take(connection)
            if not rows:
                return 0
            results = await asyncio.gather(*(self._publish(row) for row in rows))
            failures = [result for result in results if result is not None]
            failed = {failure.row_id for failure in failures}
            sent = [row.id for row in rows if row.id not in failed]
            if sent:
                await connection.execute(
                    update(tables.outbox).where(_outbox.id.in_(sent)).values(sent_at=func.clock_timestamp())
                )
            refused = [failure for failure in failures if not failure.broker_away]
            if refused:
                await self._postpone(connection, refused)
        if len(refused) < len(failures):
            # These rows are as they were: it is the broker that has to be waited for, not they.
            raise BrokerAwayError(f"the message broker did not confirm {len(failures) - len(refused)} rows")
        return len(rows)

    async def _take(self, connection: AsyncConnection) -> list[Row[Any]]:
        statement = (
            select(tables.outbox)
            .where(_outbox.sent_at.is_(None), _outbox.available_at <= func.now())
            .order_by(_outbox.available_at, _outbox.id)
            .limit(self._batch_rows)
            .with_for_update(skip_locked=True)
        )
        return list((await connection.execute(statement)).all())

    async def _publish(self, row: Row[Any]) -> _Failure | None:
        try:
            await self._publisher.publish(
                row.body,
                exchange=row.exchange,
                routing_key=row.routing_key,
                event=row.event,
                message_id=row.message_id,
                content_type=row.content_type,
                headers=row.headers,
                mandatory=row.mandatory,
            )
        except (UnroutableError, NotTakenError) as error:
            return _Failure(row.id, error.message, broker_away=False)
        except BrokerAwayError as error:
            return _Failure(row.id, error.message, broker_away=True)
        except Exception as error:  # noqa: BLE001 - a row that cannot be published for a reason of its own holds up nobody
            return _Failure(row.id, repr(error), broker_away=False)
        return None

    async def _postpone(self, connection: AsyncConnection, failures: list[_Failure]) -> None:
        # One row that cannot be routed must not hold up the others: it waits longer each time, at most a minute.
        statement = (
            update(tables.outbox)
            .where(_outbox.id == bindparam("row_id"))
            .values(
                failures=_outbox.failures + 1,
                last_error=bindparam("error"),
                available_at=func.now()
                + func.make_interval(0, 0, 0, 0, 0, 0, func.least(MAX_BACKOFF_S, func.power(2, _outbox.failures))),
            )
        )
        await connection.execute(statement, [{"row_id": f.row_id, "error": f.error} for f in failures])
        _log.warning("outbox_rows_postponed", rows=len(failures), error=failures[0].error)

    async def _purge_forever(self) -> None:
        while True:
            await asyncio.sleep(PURGE_EVERY_S)
            try:
                await self.purge()
                if self._also_purge is not None:
                    await self._also_purge()
            except Exception as error:  # noqa: BLE001 - purging is tried again in a minute
                _log.warning("purge_failed", error=repr(error))

    async def purge(self) -> None:
        """Remove sent rows after a day and inbox claims after a week, each statement a bounded number."""
        for table, moment, keep in (
            (tables.outbox, _outbox.sent_at, KEEP_SENT),
            (tables.inbox, tables.inbox.c.claimed_at, KEEP_CLAIMS),
        ):
            # As many statements as it takes: a fixed number a minute would fall behind a busy service for ever.
            while await self._purge_some(table, moment, keep) == PURGE_ROWS:
                pass

    async def _purge_some(self, table: Table, moment: ColumnElement[datetime], keep: timedelta) -> int:
        # By the rows' places: a wide key would have to be compared member by member.
        place = literal_column("ctid")
        old = select(place).select_from(table).where(moment < func.now() - keep).order_by(moment).limit(PURGE_ROWS)
        async with self._database.engine.begin() as connection:
            removed = await connection.execute(delete(table).where(place.in_(old.with_for_update(skip_locked=True))))
        return removed.rowcount
