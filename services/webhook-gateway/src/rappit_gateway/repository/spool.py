"""The spool: where a verified webhook is kept while the broker is away.

It is the outbox itself, so the relay drains it. It is written past SQLAlchemy, over connections of its own: this is the
one insert of the house that has to keep up with the webhooks, and one prepared statement costs a quarter of the same
through a session. What arrives while a transaction is under way is written together in the next, so that a flood costs
few commits and a single webhook waits for nobody (docs/performance.md has what both are worth). A webhook's row needs
no tenant: the outbox has no wall.
"""

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
from pydantic import SecretStr
from rappit_common.database.engine import CONNECT_TIMEOUT_S
from sqlalchemy.engine import make_url

ATTEMPTS = 2
IDLE_CONNECTION_S = 300
BATCH_ROWS = 64
BATCH_BYTES = 1024 * 1024

INSERT = """
INSERT INTO outbox (id, organization_id, event, exchange, routing_key, message_id, content_type, headers, body, mandatory)
VALUES ($1, $2, $3, $4, $3, $5, $6, $7, $8, true)
ON CONFLICT (id) DO NOTHING
"""  # noqa: E501 - columns and values read best under each other

_LOST = (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.AdminShutdownError, ConnectionError)


class SpoolAwayError(Exception):
    """PostgreSQL did not say in time that it has the message."""


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    values: tuple[Any, ...]
    body_bytes: int
    written: asyncio.Future[None]

    def settle(self, failure: Exception | None) -> None:
        if self.written.done():
            return
        if failure is None:
            self.written.set_result(None)
        else:
            self.written.set_exception(failure)


async def _keep_as_it_is(_connection: Any) -> None:
    """Return a connection to the pool without the usual reset: a round trip, and we set nothing that would stay."""


class Spool:
    """Writes messages to the outbox; each is durable when its ``put`` returns.

    Args:
        url: The service's ``DATABASE_URL``.
        schema: The service's schema.
        connections: At most; opened when first needed.
        timeout_s: How long a message may take in all.
    """

    def __init__(self, url: SecretStr, *, schema: str, connections: int, timeout_s: float) -> None:
        self._url = make_url(url.get_secret_value()).set(drivername="postgresql").render_as_string(hide_password=False)
        self._schema = schema
        self._connections = connections
        self._timeout_s = timeout_s
        self._pool: Any = None
        self._waiting: deque[_Row] = deque()
        self._writers: set[asyncio.Task[None]] = set()
        self._writing = 0

    async def start(self) -> None:
        """Make the pool; connects to nothing yet, since PostgreSQL may come later than we do."""
        self._pool = await asyncpg.create_pool(
            self._url,
            min_size=0,
            max_size=self._connections,
            max_inactive_connection_lifetime=IDLE_CONNECTION_S,
            timeout=CONNECT_TIMEOUT_S,
            reset=_keep_as_it_is,
            server_settings={
                "application_name": f"rappit-{self._schema}-spool",
                "search_path": self._schema,
                "statement_timeout": str(int(self._timeout_s * 1000)),
                "jit": "off",
            },
        )

    async def stop(self) -> None:
        """Close the connections, without waiting for a server that may be gone."""
        for writer in self._writers:
            writer.cancel()
        await asyncio.gather(*self._writers, return_exceptions=True)
        if self._pool is not None:
            self._pool.terminate()

    async def put(
        self,
        message_id: UUID,
        *,
        organization_id: UUID,
        event: str,
        exchange: str,
        content_type: str,
        headers: Mapping[str, str],
        body: bytes,
        within_s: float | None = None,
    ) -> None:
        """Keep one message, to be published under the same id; repeating it changes nothing.

        Waits for ``timeout_s`` at most, or ``within_s`` when that is less.

        Raises:
            SpoolAwayError: Not written in time. It may still have been.
        """
        values = (
            message_id,
            organization_id,
            event,
            exchange,
            str(message_id),
            content_type,
            json.dumps(headers),
            body,
        )
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        row = _Row(values, len(body), written)
        self._waiting.append(row)
        if self._writing < self._connections:
            self._writing += 1
            writer = asyncio.create_task(self._write(), name="spool")
            self._writers.add(writer)
            writer.add_done_callback(self._writers.discard)
        try:
            async with asyncio.timeout(self._timeout_s if within_s is None else min(self._timeout_s, within_s)):
                await written
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise SpoolAwayError(repr(error)) from error
        finally:
            # While every writer hangs nobody takes what waits, and it must not pile up. The oldest stands first.
            if not written.done() or written.cancelled():
                self._forget(row)

    def _forget(self, row: _Row) -> None:
        with contextlib.suppress(ValueError):
            self._waiting.remove(row)

    async def _write(self) -> None:
        """Write whatever waits, a transaction at a time, until nothing does."""
        try:
            while batch := self._take():
                await self._write_together(batch)
        finally:
            # In the same step that found nothing waiting: counting finished tasks instead would leave a row that
            # arrives between the two to nobody.
            self._writing -= 1

    async def _write_together(self, batch: list[_Row]) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._insert(batch)
        except Exception as error:  # noqa: BLE001 - told to those who wait, who answer for it
            await self._write_apart(batch, error)
        else:
            for row in batch:
                row.settle(None)

    def _take(self) -> list[_Row]:
        batch: list[_Row] = []
        size = 0
        while self._waiting and len(batch) < BATCH_ROWS and size < BATCH_BYTES:
            row = self._waiting.popleft()
            # Nobody waits for it any more: it was answered with a 503.
            if not row.written.done():
                batch.append(row)
                size += row.body_bytes
        return batch

    async def _write_apart(self, batch: list[_Row], error: Exception) -> None:
        """Let no row suffer for another's fault; when the server is the fault, all have failed."""
        is_servers_fault = isinstance(error, (*_LOST, OSError, TimeoutError))
        for row in batch:
            failure: Exception | None = error
            if len(batch) > 1 and not is_servers_fault:
                try:
                    async with asyncio.timeout(self._timeout_s):
                        await self._insert([row])
                except Exception as its_own:  # noqa: BLE001 - as above
                    failure = its_own
                else:
                    failure = None
            row.settle(failure)

    async def _insert(self, batch: list[_Row]) -> None:
        rows = [row.values for row in batch]
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await self._insert_over_one_connection(rows)
            except _LOST:
                # A pooled connection may have died with the server it knew; a new one tells whether it is back.
                if attempt == ATTEMPTS:
                    raise
            else:
                return

    async def _insert_over_one_connection(self, rows: list[tuple[Any, ...]]) -> None:
        connection = await self._pool.acquire()
        try:
            # One transaction: all rows or none.
            await connection.executemany(INSERT, rows)
        except asyncio.CancelledError:
            # A server that hangs would not answer the request to cancel either, which the pool waits for.
            connection.terminate()
            raise
        finally:
            await self._pool.release(connection)
