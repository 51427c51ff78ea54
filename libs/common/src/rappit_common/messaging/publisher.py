"""Confirmed, mandatory, persistent publishing over one robust connection."""

import asyncio
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import aio_pika
import aiormq
from aio_pika.abc import AbstractChannel, AbstractRobustConnection
from aio_pika.exceptions import AMQPError, DeliveryError, PublishError
from pydantic import SecretStr

from rappit_common.errors import UnavailableError
from rappit_common.logs import get_logger
from rappit_common.messaging.events import EVENTS_EXCHANGE
from rappit_common.messaging.wire import PersistentProperties
from rappit_common.patience import Patience

RECONNECT_S = 1.0
CONNECT_TIMEOUT_S = 5.0
HEARTBEAT_S = 10

# aio-pika raises RuntimeError for a channel that is being reopened.
BROKER_ERRORS = (DeliveryError, AMQPError, OSError, TimeoutError, RuntimeError)

_log = get_logger()


class BrokerAwayError(UnavailableError):
    """The broker did not confirm in time. The message may or may not be there: consumers deduplicate."""

    code = "broker_away"


class UnroutableError(BrokerAwayError):
    """No queue is bound for the message yet: its consumer was never deployed."""

    code = "unroutable"


class NotTakenError(BrokerAwayError):
    """The broker answered that it does not take the message: its queue is full, or has lost its majority."""

    code = "not_taken"


@contextmanager
def broker_faults() -> Generator[None]:
    """Tell in one way that the broker is away, in whatever way its client notices.

    Raises:
        BrokerAwayError: It is.
    """
    try:
        yield
    except asyncio.CancelledError as error:
        # The client cancels those who wait on a connection that died: whoever was not cancelled himself must not end.
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise BrokerAwayError("the connection to the message broker was lost") from error
    except BROKER_ERRORS as error:
        raise BrokerAwayError(f"the message broker did not answer: {error or type(error).__name__}") from error


async def connect_robust(url: SecretStr, name: str) -> AbstractRobustConnection:
    """Return a connection that comes back by itself; ``name`` is shown in the broker's list.

    Raises:
        One of BROKER_ERRORS: The broker is not there, or does not let us in.
    """
    return await aio_pika.connect_robust(
        url.get_secret_value(),
        timeout=CONNECT_TIMEOUT_S,
        reconnect_interval=RECONNECT_S,
        heartbeat=HEARTBEAT_S,
        client_properties={"connection_name": name},
    )


class Publisher:
    """Publishes with confirms. Connects in the background and again whenever the broker comes back.

    Args:
        url: AMQP URL.
        timeout_s: How long a publish may wait for its confirm.
        name: Shown in the broker's list of connections.
    """

    def __init__(self, url: SecretStr, *, timeout_s: float, name: str) -> None:
        self._url = url
        self._patience = Patience(timeout_s)
        self._name = name
        self._connection: AbstractRobustConnection | None = None
        self._channel: AbstractChannel | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._connected = asyncio.Event()

    @property
    def is_connected(self) -> bool:
        """Whether the broker is there, as far as the connection knows."""
        return (
            self._connection is not None
            and self._connection.connected.is_set()
            and self._channel is not None
            and not self._channel.is_closed
        )

    async def start(self) -> None:
        """Begin to connect; returns at once, since the broker may come later than we do."""
        self._connecting = asyncio.create_task(self._connect(), name="publisher-connect")

    async def wait_connected(self, timeout_s: float) -> None:
        """Return once connected.

        Raises:
            TimeoutError: The broker was not there in time.
        """
        async with asyncio.timeout(timeout_s):
            await self._connected.wait()

    async def _connect(self) -> None:
        while True:
            try:
                with broker_faults():
                    self._connection = await connect_robust(self._url, self._name)
                    channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
                    # Declared here too, so that publishing never depends on which service started first.
                    await channel.declare_exchange(EVENTS_EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True)
            except BrokerAwayError as error:
                _log.warning("broker_away", connection=self._name, error=error.message)
                await self._disconnect()
                await asyncio.sleep(RECONNECT_S)
                continue
            self._channel = channel
            self._connected.set()
            _log.info("broker_connected", connection=self._name)
            return

    async def publish(  # noqa: PLR0913 - a message has this many parts
        self,
        body: bytes,
        *,
        exchange: str,
        routing_key: str,
        event: str,
        message_id: str,
        content_type: str,
        headers: Mapping[str, Any],
        mandatory: bool = True,
        patience: Patience | None = None,
    ) -> None:
        """Publish one persistent message and return when a majority of the broker's nodes has it.

        Args:
            body: The message's bytes.
            exchange: Empty for the default exchange, which routes by a queue's name.
            routing_key: An event's name, or a queue's.
            event: What the message is, its AMQP type.
            message_id: By which its duplicates are known.
            content_type: Of the body.
            headers: Text, numbers and what JSON can hold.
            mandatory: Whether to refuse what no queue takes.
            patience: How long this one may wait, where that is not as long as the others.

        Raises:
            BrokerAwayError: Not confirmed in time. The message may still arrive.
            UnroutableError: Mandatory, and no queue takes it.
            NotTakenError: A queue of its refused it.
        """
        properties = PersistentProperties(
            content_type=content_type, headers=dict(headers), message_id=message_id, message_type=event
        )
        if not self.is_connected or self._channel is None:
            raise BrokerAwayError("the message broker is away; try again")
        try:
            with broker_faults(), (patience or self._patience).wait():
                await self._publish(body, properties, exchange, routing_key, mandatory=mandatory)
        except BrokerAwayError as away:
            cause = away.__cause__
            if isinstance(cause, PublishError):
                raise UnroutableError(f"no queue is bound for {routing_key}: is its consumer deployed?") from cause
            if isinstance(cause, DeliveryError):
                raise NotTakenError(f"a queue for {routing_key} is full or out of order: it took nothing") from cause
            raise

    async def _publish(
        self, body: bytes, properties: PersistentProperties, exchange: str, routing_key: str, *, mandatory: bool
    ) -> None:
        assert self._channel is not None  # noqa: S101 - the caller looked
        channel = cast("aiormq.Channel", await self._channel.get_underlay_channel())
        # Past aio-pika's own publish, which holds the channel until each message is written to the socket:
        # without that wait many leave in one write, and a message costs a fifth less (docs/performance.md).
        # What is under way stays bounded, since every caller waits for its confirm.
        await channel.basic_publish(
            body, exchange=exchange, routing_key=routing_key, properties=properties, mandatory=mandatory, wait=False
        )

    async def close(self) -> None:
        """Stop connecting and close the connection."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        await self._disconnect()

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
