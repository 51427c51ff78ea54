"""Writes what reached the channels into the log, many rows at a time, over a connection of its own.

Past SQLAlchemy as the spool is, and for the same reason: it keeps up with every webhook there is. Its rows are of many
tenants, each stamped with its channel's, so the connection has leave to write for all of them.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from pydantic import SecretStr
from rappit_common.database.engine import CONNECT_TIMEOUT_S, is_outage
from rappit_common.messaging.headers import json_safe, storable
from sqlalchemy.engine import make_url

STATEMENT_TIMEOUT_S = 10
CLOSE_TIMEOUT_S = 2

# An outcome may have been heard of first: then only what it could not know is added, and its status stands.
_DELIVERIES = """
INSERT INTO webhook_deliveries (id, organization_id, channel_id, provider, topic, delivery_id, dedupe_key, source,
    status, cause, detail, received_at, body_bytes, spooled, trace_id, client, left_out)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
    $9::text[], $10::text[], $11::text[], $12::timestamptz[], $13::bigint[], $14::boolean[], $15::text[], $16::text[],
    $17::integer[]) AS logged (id)
ORDER BY logged.id
ON CONFLICT (id) DO UPDATE SET dedupe_key = excluded.dedupe_key, source = excluded.source,
    body_bytes = excluded.body_bytes, spooled = excluded.spooled, trace_id = excluded.trace_id
WHERE webhook_deliveries.body_bytes IS NULL
"""
_BODIES = """
INSERT INTO webhook_bodies (id, organization_id, headers, body)
SELECT kept.id, kept.organization_id, kept.headers::jsonb, kept.body
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bytea[]) AS kept (id, organization_id, headers, body)
ON CONFLICT (id) DO NOTHING
"""


class LogAwayError(Exception):
    """PostgreSQL did not say in time that it has the rows; it may have them, and writing them again changes nothing."""


@dataclass(frozen=True, slots=True)
class LoggedDelivery:
    """A row of the log.

    Attributes:
        delivery_id: The message's id, or one made for a rejected delivery.
        provider_delivery_id: The provider's own.
        body_bytes: As received, or as announced by a rejected one; None when that is not known.
        headers: Of its message; None for a rejected one.
        body: None for a rejected one.
        left_out: Refusals of this channel that have no row, since the last that has one.
    """

    delivery_id: UUID
    organization_id: UUID
    channel_id: UUID
    provider: str
    status: str
    received_at: datetime
    topic: str = ""
    provider_delivery_id: str = ""
    dedupe_key: str | None = None
    source: str | None = None
    cause: str | None = None
    detail: str | None = None
    body_bytes: int | None = None
    spooled: bool = False
    trace_id: str | None = None
    client: str | None = None
    left_out: int = 0
    headers: Mapping[str, str] | None = None
    body: bytes | None = None

    def values(self) -> tuple[Any, ...]:
        """Return the columns of the insert, in its order."""
        texts = (self.provider, self.topic, self.provider_delivery_id, self.dedupe_key, self.source)
        return (
            self.delivery_id,
            self.organization_id,
            self.channel_id,
            # From headers that anybody may write: one row must not fail for what PostgreSQL's text cannot hold.
            *(None if text is None else storable(text) for text in texts),
            self.status,
            self.cause,
            self.detail,
            self.received_at,
            self.body_bytes,
            self.spooled,
            self.trace_id,
            self.client,
            self.left_out,
        )


class DeliveryWriter:
    """One connection that writes the log; one write at a time.

    Args:
        url: The service's ``DATABASE_URL``.
        schema: The service's schema.
    """

    def __init__(self, url: SecretStr, *, schema: str) -> None:
        self._url = make_url(url.get_secret_value()).set(drivername="postgresql").render_as_string(hide_password=False)
        self._schema = schema
        self._connection: Any = None

    async def write(self, rows: Sequence[LoggedDelivery]) -> None:
        """Write rows in one transaction; repeating it changes nothing.

        Raises:
            LogAwayError: PostgreSQL is away, or too slow.
        """
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S + STATEMENT_TIMEOUT_S):
                await self._write(rows)
        except Exception as error:
            await self.close()
            if isinstance(error, OSError | TimeoutError | asyncpg.QueryCanceledError) or is_outage(error):
                raise LogAwayError(repr(error)) from error
            raise
        except asyncio.CancelledError:
            await self.close()
            raise

    async def _write(self, rows: Sequence[LoggedDelivery]) -> None:
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._connect()
        bodies = [
            (row.delivery_id, row.organization_id, json.dumps(json_safe(row.headers)), row.body)
            for row in rows
            if row.headers is not None and row.body is not None
        ]
        async with self._connection.transaction():
            await self._connection.execute(_DELIVERIES, *_columns([row.values() for row in rows]))
            if bodies:
                await self._connection.execute(_BODIES, *_columns(bodies))

    async def _connect(self) -> Any:
        return await asyncpg.connect(
            self._url,
            timeout=CONNECT_TIMEOUT_S,
            server_settings={
                "application_name": f"rappit-{self._schema}-delivery-log",
                "search_path": self._schema,
                "statement_timeout": str(STATEMENT_TIMEOUT_S * 1000),
                "jit": "off",
                "rappit.bypass_tenancy": "on",
            },
        )

    async def close(self) -> None:
        """Close the connection, without waiting for a server that may be gone."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
