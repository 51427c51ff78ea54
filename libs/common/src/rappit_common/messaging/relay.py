"""The relay: publishes outbox rows with confirms, and only then marks them sent.

Several relays may run at once: each takes rows nobody else holds. The rows stay locked while they are published, which
is the one place where a transaction waits for the network: it is what lets a relay die at any point without losing a
row (docs/adr/0002). A row published twice after such a death is absorbed by the consumers' inboxes.

Two batches are under way at once, each in a transaction of its own: the next is read while the last one's confirms are
awaited, and a row that is committed meanwhile waits for neither.
"""

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Row,
    Table,
    Uuid,
    bindparam,
    delete,
    func,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from rappit_common.database.engine import Database
from rappit_common.logs import get_logger
from rappit_common.messaging import tables
from rappit_common.messaging.publisher import BrokerAwayError, NotTakenError, Publisher, UnroutableError
from rappit_common.messaging.volley import Outgoing
from rappit_common.messaging.wire import PersistentProperties
from rappit_common.periodic import in_batches

MAX_BACKOFF_S = 60
KEEP_SENT = timedelta(days=1)
PURGE_EVERY_S = 60.0
PURGE_ROWS = 5_000
ERROR_PAUSE_S = 1.0
BATCHES_UNDER_WAY = 2
# A little more than a publish waits for its confirm.
STOP_S = 6.0

_log = get_logger()
_outbox = tables.outbox.c

# One array and not a parameter a row: the statement is compiled and prepared once, whatever the batch's size.
_MARK_SENT = (
    update(tables.outbox)
    .where(_outbox.id == func.any(bindparam("ids", type_=ARRAY(Uuid))))
    .values(sent_at=func.clock_timestamp())
)


def _take_statement(max_rows: int, max_bytes: int) -> Any:
    """Return the query that locks the next rows and reads of them what fits, the first in any case.

    Bodies reach 10 MiB. Their sizes are known without reading them, so that what does not fit never leaves the server.
    """
    size = (func.octet_length(_outbox.body) + func.pg_column_size(_outbox.headers)).label("size")
    locked = (
        select(_outbox.id, _outbox.available_at, size)
        .where(_outbox.sent_at.is_(None), _outbox.available_at <= func.now())
        .order_by(_outbox.available_at, _outbox.id)
        .limit(max_rows)
        .with_for_update(skip_locked=True)
        .cte("locked")
    )
    place = func.row_number().over(order_by=(locked.c.available_at, locked.c.id)).label("place")
    up_to_here = func.sum(locked.c.size).over(order_by=(locked.c.available_at, locked.c.id)).label("up_to_here")
    in_all = func.count().over().label("in_all")
    counted = select(locked.c.id, place, up_to_here, in_all).subquery("counted")
    return (
        select(tables.outbox, counted.c.in_all)
        .join(counted, counted.c.id == _outbox.id)
        .where(or_(counted.c.up_to_here <= max_bytes, counted.c.place == 1))
        .order_by(counted.c.place)
    )


@dataclass(frozen=True, slots=True)
class _Failure:
    row_id: Any
    error: str
    broker_away: bool

    @classmethod
    def of(cls, row_id: Any, error: Exception) -> "_Failure":
        """Tell a row that cannot be published, which waits by itself, from a broker that has to be waited for."""
        if isinstance(error, BrokerAwayError):
            return cls(row_id, error.message, not isinstance(error, UnroutableError | NotTakenError))
        return cls(row_id, repr(error), broker_away=False)


def _outgoing(row: Row[Any]) -> Outgoing:
    properties = PersistentProperties(
        content_type=row.content_type,
        headers=row.headers,
        message_id=row.message_id,
        timestamp=row.created_at,
        message_type=row.event,
    )
    return Outgoing(row.body, row.exchange, row.routing_key, properties, row.mandatory)


class Relay:
    """Drains one service's outbox.

    Args:
        database: The service's own.
        publisher: Where to.
        batch_rows: Rows taken and published together at most.
        batch_bytes: Of their bodies and headers together at most; a single larger row is a batch.
        poll_s: How often to look when nobody nudges.
        keep_claims: How long the inbox remembers what was handled.
        also_purge: Called after each purge of outbox and inbox, for what else grows old in the schema.
    """

    def __init__(
        self,
        database: Database,
        publisher: Publisher,
        *,
        batch_rows: int = 200,
        batch_bytes: int = 16 * 1024 * 1024,
        poll_s: float = 0.1,
        keep_claims: timedelta = timedelta(days=7),
        also_purge: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._database = database
        self._publisher = publisher
        self._take_rows = _take_statement(batch_rows, batch_bytes)
        self._batch_rows = batch_rows
        self._poll_s = poll_s
        self._keep_claims = keep_claims
        self._also_purge = also_purge
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._under_way: set[asyncio.Task[None]] = set()
        self._trouble: Exception | None = None
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
        """Stop after the batches in hand; what is left stays in the outbox."""
        self._stop.set()
        self._wake.set()
        if not self._tasks:
            return
        relay, *others = self._tasks
        for task in others:
            task.cancel()
        # Cut short, it would leave published rows unmarked, and they would all be published again.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await asyncio.wait([relay])
                if self._under_way:
                    await asyncio.wait(self._under_way)
        for task in (relay, *self._under_way):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._under_way, return_exceptions=True)

    async def _run(self) -> None:
        while not self._stop.is_set():
            if len(self._under_way) == BATCHES_UNDER_WAY:
                await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
                continue
            has_more = await self._begin_batch()
            if self._trouble is not None:
                # Whatever happened, the rows are still there and are tried again.
                trouble, self._trouble = self._trouble, None
                _log.warning("relay_paused", error=repr(trouble))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(ERROR_PAUSE_S):
                        await self._stop.wait()
                continue
            if has_more:
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._poll_s):
                    await self._wake.wait()
            self._wake.clear()

    async def _begin_batch(self) -> bool:
        """Begin the next batch; returns once its rows are taken, whether there may be more."""
        taken: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._finish_batch(taken), name="outbox-batch")
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await taken

    async def _finish_batch(self, taken: asyncio.Future[bool]) -> None:
        try:
            await self.drain_once(taken.set_result)
        except Exception as error:  # noqa: BLE001 - told to the loop, which pauses
            self._trouble = error
            self._wake.set()
        finally:
            if not taken.done():
                taken.set_result(False)

    async def drain_once(self, on_taken: Callable[[bool], None] = lambda _has_more: None) -> int:
        """Publish one batch. Returns how many rows were taken.

        Args:
            on_taken: Told whether there may be more rows, as soon as this batch's are read.

        Raises:
            BrokerAwayError: There is no connection, or some publishes were not confirmed; those rows stay as they were.
        """
        if not self._publisher.is_connected:
            raise BrokerAwayError("the message broker is away")
        self._wake.clear()
        async with self._database.engine.begin() as connection:
            rows = list((await connection.execute(self._take_rows)).all())
            locked = rows[0].in_all if rows else 0
            on_taken(locked == self._batch_rows or locked > len(rows))
            if not rows:
                return 0
            errors = await self._publisher.publish_all([_outgoing(row) for row in rows])
            failures = [_Failure.of(row.id, error) for row, error in zip(rows, errors, strict=True) if error]
            failed = {failure.row_id for failure in failures}
            sent = [row.id for row in rows if row.id not in failed]
            if sent:
                await connection.execute(_MARK_SENT, {"ids": sent})
            refused = [failure for failure in failures if not failure.broker_away]
            if refused:
                await self._postpone(connection, refused)
        if locked > len(rows):
            # What did not fit was locked until now, so that nobody else has seen it.
            self._wake.set()
        if len(refused) < len(failures):
            # These rows are as they were: it is the broker that has to be waited for, not they.
            raise BrokerAwayError(f"the message broker did not confirm {len(failures) - len(refused)} rows")
        return len(rows)

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
        """Remove sent rows after a day and inbox claims after their time, each statement a bounded number."""
        for table, moment, keep in (
            (tables.outbox, _outbox.sent_at, KEEP_SENT),
            (tables.inbox, tables.inbox.c.claimed_at, self._keep_claims),
        ):
            await in_batches(functools.partial(self._purge_some, table, moment, keep), PURGE_ROWS)

    async def _purge_some(self, table: Table, moment: ColumnElement[datetime], keep: timedelta) -> int:
        # By the rows' places: a wide key would have to be compared member by member.
        place = literal_column("ctid")
        old = select(place.label("place")).select_from(table).where(moment < func.now() - keep).order_by(moment)
        # Chosen once, ahead: a subquery that locks may be run again for each row, and its limit is then none.
        chosen = old.limit(PURGE_ROWS).with_for_update(skip_locked=True).cte("chosen")
        async with self._database.engine.begin() as connection:
            removed = await connection.execute(delete(table).where(place.in_(select(chosen.c.place))))
        return removed.rowcount
