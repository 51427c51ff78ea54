"""Idempotency keys: a request that its sender repeats is done once, and answered alike each time.

The key is claimed, the work done and its answer remembered in one transaction, the request's own: a failure forgets the
key together with the work, and of two requests at once the second waits for the first. A service that wants keys calls
:func:`create_tables_v1` from a migration, gives its unit of work an :class:`IdempotencyKeys`, and runs an
:class:`IdempotencyPurge`.
"""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import Header
from sqlalchemy import (
    Column,
    DateTime,
    Index,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    Uuid,
    delete,
    func,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from rappit_common.database.base import NAMING
from rappit_common.errors import InvalidError
from rappit_common.periodic import Periodic, in_batches
from rappit_common.unit_of_work import UnitsOfWork

MAX_KEY_CHARACTERS = 255
# Longer than any sender goes on repeating one request.
KEEP_KEYS = timedelta(days=7)
PURGE_EVERY_S = 600.0
PURGE_ROWS = 5_000

metadata = MetaData(naming_convention=NAMING)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("organization_id", Uuid, primary_key=True),
    Column("operation", String(100), primary_key=True),
    Column("key", String(MAX_KEY_CHARACTERS), primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False),
    # Null only inside the transaction that claims the key.
    Column("answer", Text, nullable=True),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Index("ix_idempotency_keys_created_at", "created_at"),
)
_keys = idempotency_keys.c

KEY_PATTERN = r"^[!-~](?:[ -~]*[!-~])?$"
_HEADER = Header(
    alias="Idempotency-Key",
    max_length=MAX_KEY_CHARACTERS,
    pattern=KEY_PATTERN,
    description="Of your choice, one for each thing you want done: 1 to 255 printable ASCII characters. "
    "Repeated with the same body within 7 days, the request is answered as before and does nothing.",
)
IdempotencyKey = Annotated[str, _HEADER]
"""The header a repeatable endpoint asks for."""

OptionalIdempotencyKey = Annotated[str | None, _HEADER]
"""The same, where callers may do without: such a request is done each time it is sent."""


class IdempotencyKeyReusedError(InvalidError):
    """A key was given before, for a request that said something else."""

    code = "idempotency_key_reused"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request was answered.

    Attributes:
        text: The answer's body, the same each time.
        is_first: False when it was remembered, and nothing was done.
    """

    text: str
    is_first: bool


class IdempotencyKeys:
    """Keys of one organization, remembered in its unit of work's transaction."""

    def __init__(self, session: AsyncSession, organization_id: UUID) -> None:
        self._session = session
        self._organization_id = organization_id

    async def once(self, operation: str, key: str, body: bytes, act: Callable[[], Awaitable[str]]) -> Answer:
        """Do what a request asks unless its key was answered before.

        A request with the same key at the same time waits here for the first to commit or roll back.

        Args:
            operation: What the key is for, for example ``POST /orders``; keys of different operations never meet.
            key: The caller's.
            body: What the request says, byte for byte.
            act: Does it, in this transaction, and returns the answer to remember.

        Raises:
            IdempotencyKeyReusedError: The key was answered before, for another body.
        """
        fingerprint = hashlib.sha256(body).digest()
        mine = {"organization_id": self._organization_id, "operation": operation, "key": key}
        # The update changes nothing: it returns and holds the row that is there, which doing nothing would not.
        claim = (
            insert(idempotency_keys)
            .values(**mine, fingerprint=fingerprint)
            .on_conflict_do_update(index_elements=list(mine), set_={"fingerprint": _keys.fingerprint})
            .returning(_keys.fingerprint, _keys.answer)
        )
        known = (await self._session.execute(claim)).one()
        if known.fingerprint != fingerprint:
            raise IdempotencyKeyReusedError(
                f"The idempotency key {key!r} was used for another request. Give each request a key of its own, and "
                "repeat a request with the very same body.",
                idempotency_key=key,
            )
        if known.answer is not None:
            return Answer(known.answer, is_first=False)
        text = await act()
        here = [_keys[name] == value for name, value in mine.items()]
        await self._session.execute(update(idempotency_keys).where(*here).values(answer=text))
        return Answer(text, is_first=True)


class IdempotencyPurge(Periodic):
    """Forgets keys after a week, a bounded number at a time."""

    def __init__(self, units: UnitsOfWork[Any]) -> None:
        super().__init__("idempotency-purge", every_s=PURGE_EVERY_S)
        self._units = units

    async def act(self) -> None:
        """Forget all that are old enough."""
        await in_batches(self.purge, PURGE_ROWS)

    async def purge(self) -> int:
        """Forget one batch. Returns how many keys went."""
        place = literal_column("ctid")
        old = (
            select(place.label("place")).select_from(idempotency_keys).where(_keys.created_at < func.now() - KEEP_KEYS)
        )
        # Chosen once, ahead: a subquery that locks may be run again for each row, and its limit is then none.
        chosen = old.order_by(_keys.created_at).limit(PURGE_ROWS).with_for_update(skip_locked=True).cte("chosen")
        forget = delete(idempotency_keys).where(place.in_(select(chosen.c.place))).returning(place)
        async with self._units.bypass_tenancy("old idempotency keys are forgotten for every organization") as unit:
            return len((await unit.session.execute(forget)).all())


def create_tables_v1() -> None:
    """Create the table as it was first released, behind the tenants' wall. Called from a service's migration."""
    from alembic import op  # noqa: PLC0415 - Alembic's `op` means something only while a migration runs

    from rappit_common.database.migrations import enable_tenancy  # noqa: PLC0415 - as above

    metadata.create_all(op.get_bind(), checkfirst=False)
    enable_tenancy(idempotency_keys.name)
