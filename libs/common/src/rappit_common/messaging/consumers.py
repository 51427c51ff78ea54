"""A service's consumers: declared, started when the broker is there, stopped before what is in hand is drained."""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

import aio_pika
from aio_pika.connection import make_url
from faststream import AckPolicy
from faststream.rabbit import Channel, RabbitBroker, RabbitRouter
from pydantic import SecretStr

from rappit_common.logs import get_logger
from rappit_common.messaging.publisher import (
    CONNECT_TIMEOUT_S,
    HEARTBEAT_S,
    RECONNECT_S,
    BrokerAwayError,
    broker_faults,
)
from rappit_common.messaging.retry import RetryPolicy, make_retry_middleware
from rappit_common.messaging.topology import Subscription, declare_topology

CANCEL_TIMEOUT_S = 2.0

_log = get_logger()


class Consumers:
    """Runs a service's FastStream subscribers.

    Args:
        service: The service's name.
        url: AMQP URL.
        router: The subscribers, each on ``subscription.as_faststream()``.
        subscriptions: All queues of the service, to be declared before anything is consumed.
        policy: What happens to a failed message.
        context: Objects the handlers ask for by ``Context("name")``, for example ``units``.
        prefetch: Messages a consumer holds at most, so also how many it works on at once.
        drain_timeout_s: How long a stop waits for what is in hand.
    """

    def __init__(
        self,
        *,
        service: str,
        url: SecretStr,
        router: RabbitRouter,
        subscriptions: tuple[Subscription, ...],
        policy: RetryPolicy,
        context: Mapping[str, Any],
        prefetch: int = 32,
        drain_timeout_s: float = 10,
    ) -> None:
        self._url = url
        self._service = service
        self._subscriptions = subscriptions
        self._policy = policy
        self._starting: asyncio.Task[None] | None = None
        self._started = False
        self.broker = RabbitBroker(
            # By default a peer that fell silent would be noticed after minutes only.
            str(make_url(url.get_secret_value(), heartbeat=HEARTBEAT_S)),
            default_channel=Channel(prefetch_count=prefetch, on_return_raises=True),
            reconnect_interval=RECONNECT_S,
            graceful_timeout=drain_timeout_s,
            # The middleware settles every failure; should one slip past it, the message goes back instead of away.
            ack_policy=AckPolicy.NACK_ON_ERROR,
            middlewares=[make_retry_middleware(policy)],
            logger=None,
        )
        self.broker.include_router(router)
        for name, value in context.items():
            self.broker.context.set_global(name, value)

    @property
    def is_running(self) -> bool:
        """Whether messages can arrive now: every consumer was started, and its channel is open."""
        connection: Any = getattr(self.broker, "_connection", None)
        if not self._started or connection is None or not connection.connected.is_set():
            return False
        queues: list[Any] = [getattr(subscriber, "_queue_obj", None) for subscriber in self.broker.subscribers]
        return all(queue is not None and not queue.channel.is_closed for queue in queues)

    async def start(self) -> None:
        """Begin to connect and consume; returns at once, since the broker may come later than we do."""
        self._starting = asyncio.create_task(self._start(), name="consumers-start")

    async def _start(self) -> None:
        while True:
            try:
                with broker_faults():
                    await self._declare()
                    await self.broker.start()
            except BrokerAwayError as error:
                _log.warning("broker_away", connection=f"{self._service}-consumers", error=error.message)
                await asyncio.sleep(RECONNECT_S)
                continue
            except Exception as error:  # noqa: BLE001 - nobody waits for this task, so it says why here and tries again
                _log.error("consumers_not_started", exc_info=error)
                await asyncio.sleep(RECONNECT_S)
                continue
            self._started = True
            _log.info("consumers_started", queues=[s.queue for s in self._subscriptions])
            return

    async def _declare(self) -> None:
        connection = await aio_pika.connect(self._url.get_secret_value(), timeout=CONNECT_TIMEOUT_S)
        async with connection, connection.channel() as channel:
            await declare_topology(channel, self._service, self._subscriptions, self._policy.delays_s)

    async def stop(self) -> None:
        """Cancel the consumers first, so that nothing new arrives, then let what is in hand finish."""
        self._started = False
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        for subscriber in self.broker.subscribers:
            # FastStream drains before it cancels; what arrives meanwhile would be dropped and redelivered.
            queue: Any = getattr(subscriber, "_queue_obj", None)
            tag: Any = getattr(subscriber, "_consumer_tag", None)
            if queue is not None and tag is not None and not queue.channel.is_closed:
                subscriber._consumer_tag = None  # type: ignore[attr-defined] # noqa: SLF001 # pyright: ignore[reportAttributeAccessIssue]
                # Should the broker be away or deaf, there is nothing to cancel, and what is in hand still finishes.
                with contextlib.suppress(BrokerAwayError), broker_faults():
                    await queue.cancel(tag, timeout=CANCEL_TIMEOUT_S)
        await self.broker.stop()
