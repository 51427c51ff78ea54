"""The spool: where a verified webhook is kept while the broker is away.

It is the outbox itself, so the relay drains it. It is written past SQLAlchemy, over connections of its own: this is the
one insert of the house that has to keep up with the webhooks, and one prepared statement in its own transaction costs
a quarter of the same through a session (docs/performance.md). A webhook's row needs no tenant: the outbox has no wall.
"""

import asyncio
import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import asyncpg
from pydantic import SecretStr
from rappit_common.database.engine import CONNECT_TIMEOUT_S
from sqlalchemy.engine import make_url

ATTEMPTS = 2
IDLE_CONNECTION_S = 300

INSERT = """
INSERT INTO outbox (id, organization_id, event, exchange, routing_key, message_id, content_type, headers, body, mandatory)
VALUES ($1, $2, $3, $4, $3, $5, $6, $7, $8, true)
ON CONFLICT (id) DO NOTHING
"""  # noqa: E501 - columns and values read best under each other

_LOST = (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.AdminShutdownError, ConnectionError)


class SpoolAwayError(Exception):
    """PostgreSQL did not say in time that it has the message."""


async def _keep_as_it_is(_connection: Any) -> None:
    """Return a connection to the pool without the usual reset: a round trip, and we set nothing that would stay."""


class Spool:
    """Writes single messages to the outbox, each in a transaction of its own.

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
    ) -> None:
        """Keep one message, to be published under the same id; repeating it changes nothing.

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
            json.dumps(dict(headers)),
            body,
        )
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._insert(values)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise SpoolAwayError(repr(error)) from error

    async def _insert(self, values: tuple[Any, ...]) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with self._pool.acquire() as connection:
                    await connection.execute(INSERT, *values)
            except _LOST:
                # A pooled connection may have died with the server it knew; a new one tells whether it is back.
                if attempt == ATTEMPTS:
                    raise
            else:
                return
