"""A service's consumers: declared, started when the broker is there, stopped before what is in hand is drained."""

import asyncio
from collections.abc import Mapping
from typing import Any

import aio_pika
from faststream import AckPolicy
from faststream.rabbit import Channel, RabbitBroker, RabbitRouter
from pydantic import SecretStr

from rappit_common.logs import get_logger
from rappit_common.messaging.publisher import BROKER_ERRORS, CONNECT_TIMEOUT_S, RECONNECT_S
from rappit_common.messaging.retry import RetryPolicy, make_retry_middleware
from rappit_common.messaging.topology import Subscription, declare_topology

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
        self.is_running = False
        self.broker = RabbitBroker(
            url.get_secret_value(),
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

    async def start(self) -> None:
        """Begin to connect and consume; returns at once, since the broker may come later than we do."""
        self._starting = asyncio.create_task(self._start(), name="consumers-start")

    async def _start(self) -> None:
        while True:
            try:
                await self._declare()
                await self.broker.start()
            except BROKER_ERRORS as error:
                _log.warning("broker_away", connection=f"{self._service}-consumers", error=str(error))
                await asyncio.sleep(RECONNECT_S)
                continue
            self.is_running = True
            _log.info("consumers_started", queues=[s.queue for s in self._subscriptions])
            return

    async def _declare(self) -> None:
        connection = await aio_pika.connect(self._url.get_secret_value(), timeout=CONNECT_TIMEOUT_S)
        async with connection, connection.channel() as channel:
            await declare_topology(channel, self._service, self._subscriptions, self._policy.delays_s)

    async def stop(self) -> None:
        """Cancel the consumers first, so that nothing new arrives, then let what is in hand finish."""
        self.is_running = False
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        for subscriber in self.broker.subscribers:
            # FastStream drains before it cancels; what arrives meanwhile would be dropped and redelivered.
            queue: Any = getattr(subscriber, "_queue_obj", None)
            tag: Any = getattr(subscriber, "_consumer_tag", None)
            if queue is not None and tag is not None and not queue.channel.is_closed:
                subscriber._consumer_tag = None  # type: ignore[attr-defined] # noqa: SLF001 # pyright: ignore[reportAttributeAccessIssue]
                await queue.cancel(tag)
        await self.broker.stop()
