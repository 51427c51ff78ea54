"""The one door to PostgreSQL: a bounded pool, bounded statements, and a question whether the server is there."""

import asyncio
import socket
from typing import Any

import asyncpg
from pydantic import SecretStr
from sqlalchemy import event, exc, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

CONNECT_TIMEOUT_S = 5
PING_TIMEOUT_S = 2
_MAX_CAUSES = 10
# Asked after 10 s without a word, every 5 s, gone after 4 questions or 30 s (30,000 ms) without an acknowledgement.
_SILENCE = (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 4), ("TCP_USER_TIMEOUT", 30_000))

_AWAY = (
    ConnectionError,
    exc.TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.ReadOnlySQLTransactionError,
)


class DatabaseUnreachableError(ConnectionError):
    """No connection could be made: no such host, no route, nobody listens, or no answer in time."""


def asyncpg_url(url: str) -> URL:
    """Return ``url`` for SQLAlchemy's asyncpg dialect, whatever PostgreSQL driver it named."""
    return make_url(url).set(drivername="postgresql+asyncpg")


class Database:
    """A pool of connections to one service's schema under its runtime role.

    Args:
        url: ``postgresql://role:password@host:port/database``.
        schema: The service's schema, set as the whole search path.
        pool_size: Connections at most; there is no overflow.
        pool_timeout_s: How long a caller waits for a connection before it is told that the database is away.
        statement_timeout_s: The server ends any longer statement.
    """

    def __init__(
        self,
        url: SecretStr,
        *,
        schema: str,
        pool_size: int = 10,
        pool_timeout_s: float = 5,
        statement_timeout_s: float = 30,
    ) -> None:
        self.schema = schema
        self.engine: AsyncEngine = create_async_engine(
            asyncpg_url(url.get_secret_value()),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=pool_timeout_s,
            pool_pre_ping=True,
            pool_use_lifo=True,
            connect_args={
                "timeout": CONNECT_TIMEOUT_S,
                "server_settings": {
                    "application_name": f"rappit-{schema}",
                    "search_path": schema,
                    "statement_timeout": str(int(statement_timeout_s * 1000)),
                    "idle_in_transaction_session_timeout": str(int(statement_timeout_s * 2000)),
                    "jit": "off",
                },
            },
        )

        event.listen(self.engine.sync_engine, "do_connect", _connect)

    async def ping(self) -> None:
        """Return when the server answers.

        Raises:
            Exception: Whatever the driver says when it does not answer within 2 s.
        """
        async with asyncio.timeout(PING_TIMEOUT_S), self.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Close every pooled connection."""
        await self.engine.dispose()


def _connect(dialect: Any, _record: object, arguments: list[Any], options: dict[str, Any]) -> Any:
    # A name that is gone from DNS or a silent host are neither ConnectionError nor an error of the driver, yet mean
    # the same: marked here, where no other OSError or TimeoutError can be meant.
    try:
        connection = dialect.connect(*arguments, **options)
    except (OSError, TimeoutError) as error:
        raise DatabaseUnreachableError(f"PostgreSQL cannot be reached: {error or type(error).__name__}") from error
    _notice_silence(connection.driver_connection)
    return connection


def _notice_silence(connection: Any) -> None:
    """Let the kernel end a connection whose server vanished without a word (its machine died, the network parted).

    Neither end would ever learn of it otherwise: a statement under way would wait for ever, and its message with it.
    """
    transport = getattr(connection, "_transport", None)
    peer: socket.socket | None = None if transport is None else transport.get_extra_info("socket")
    if peer is None or peer.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _SILENCE:
        if hasattr(socket, option):  # not every system has each of them
            peer.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def is_outage(error: BaseException) -> bool:
    """Tell whether ``error`` says that PostgreSQL is away, as opposed to a fault of the message or of our code."""
    seen: BaseException | None = error
    for _ in range(_MAX_CAUSES):
        if seen is None:
            return False
        if isinstance(seen, _AWAY) or (isinstance(seen, exc.DBAPIError) and seen.connection_invalidated):
            return True
        # The driver's own complaints: of a connection that is gone, but also of a value that fits no column, which
        # no waiting mends.
        if isinstance(seen, asyncpg.InterfaceError):
            return not isinstance(seen, asyncpg.exceptions.DataError | ValueError)
        original: object = getattr(seen, "orig", None)
        seen = original if isinstance(original, BaseException) else seen.__cause__
    return False
