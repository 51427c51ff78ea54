"""A consumer for the one queue of a service where the cost of a message counts.

FastStream spends more on a message than a batched reservation costs (docs/performance.md): injection, a task group and
a hop through a thread. Here a message is one task and one pass over its JSON, and the acks of a batch are one frame.
What happens to a message that fails is the policy of every other consumer (messaging/retry.py). Use it where a
measurement asks for it, and FastStream everywhere else.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import aio_pika
import aiormq
from aiormq.abc import DeliveredMessage
from pydantic import SecretStr

from rappit_common.logs import get_logger
from rappit_common.messaging.events import ReceivedEvent
from rappit_common.messaging.publisher import (
    CONNECT_TIMEOUT_S,
    HEARTBEAT_S,
    RECONNECT_S,
    BrokerAwayError,
    broker_faults,
)
from rappit_common.messaging.retry import Delivery, MessageReturnedError, RetryPolicy, consume
from rappit_common.messaging.topology import Subscription, declare_topology

EventT = TypeVar("EventT", bound=ReceivedEvent)

_log = get_logger()


@dataclass(frozen=True, slots=True)
class HotSubscription(Generic[EventT]):
    """A queue that is read without FastStream.

    Args:
        subscription: The queue; among the service's ``subscriptions`` as well.
        event: What its messages are read as.
        handle: Given the event and the message's id (None when it has none); returns when it is committed. It runs in
            the message's trace and may run beside itself, as often as ``prefetch`` says.
        prefetch: Messages held at most: twice a batch, so that the next is at hand while one commits.
    """

    subscription: Subscription
    event: type[EventT]
    handle: Callable[[EventT, str | None], Awaitable[None]]
    prefetch: int = 400


class HotConsumer:
    """Runs a hot subscription: a part of a service, beside its ``Consumers``.

    Args:
        service: The service's name.
        url: AMQP URL.
        hot: What is consumed, and by whom.
        policy: What happens to a failed message.
        drain_timeout_s: How long a stop waits for what is in hand.
    """

    def __init__(
        self,
        *,
        service: str,
        url: SecretStr,
        hot: HotSubscription[Any],
        policy: RetryPolicy,
        drain_timeout_s: float = 10,
    ) -> None:
        self._service = service
        self._url = url
        self._hot = hot
        self._queue = hot.subscription.queue
        self._name = f"{service}-hot-consumer"
        self._policy = policy
        self._drain_timeout_s = drain_timeout_s
        self._running: asyncio.Task[None] | None = None
        self._reading: tuple[aiormq.Channel, str] | None = None
        self._in_hand = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def is_running(self) -> bool:
        """Whether messages come in, as far as the connection knows."""
        return self._reading is not None

    async def start(self) -> None:
        """Begin to connect and consume; returns at once, since the broker may come later than we do."""
        self._running = asyncio.create_task(self._run(), name=f"hot-consumer-{self._queue}")

    async def stop(self) -> None:
        """Cancel the consumer first, so that nothing new arrives, then let what is in hand finish."""
        if self._reading is not None:
            channel, tag = self._reading
            try:
                with broker_faults():
                    async with asyncio.timeout(self._drain_timeout_s):
                        await channel.basic_cancel(tag)
                        await self._idle.wait()
            except BrokerAwayError as error:
                # What was in hand goes back by itself when the connection is gone, and the inbox knows what was done.
                _log.warning("consumer_not_drained", queue=self._queue, in_hand=self._in_hand, error=error.message)
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                with broker_faults():
                    await self._consume()
            except BrokerAwayError as error:
                _log.warning("broker_away", connection=self._name, error=error.message)
            await asyncio.sleep(RECONNECT_S)

    async def _consume(self) -> None:
        """Connect, and return or raise when the connection, the channel or the consumer is gone."""
        connection = await aio_pika.connect(
            self._url.get_secret_value(),
            timeout=CONNECT_TIMEOUT_S,
            heartbeat=HEARTBEAT_S,
            client_properties={"connection_name": self._name},
        )
        async with connection:
            opened = await connection.channel(publisher_confirms=False)
            hot, policy = self._hot, self._policy
            await declare_topology(opened, self._service, (hot.subscription,), policy.delays_s)
            await opened.set_qos(prefetch_count=hot.prefetch)
            channel = cast("aiormq.Channel", await opened.get_underlay_channel())
            cancelled = asyncio.Event()
            channel.on_consumer_cancel_callbacks.add(lambda _frame: cancelled.set())
            acks = _Acks(channel)

            async def take(message: DeliveredMessage) -> None:
                await self._take(message, acks)

            # aio-pika's own consumer would wrap each message once more, in a second task.
            begun = await channel.basic_consume(self._queue, take)
            self._reading = (channel, str(begun.consumer_tag))
            _log.info("consumers_started", queues=[self._queue])
            ended = asyncio.create_task(cancelled.wait())
            try:
                await asyncio.wait((ended, channel.closing), return_when=asyncio.FIRST_COMPLETED)
            finally:
                self._reading = None
                ended.cancel()
        _log.warning("consumer_ended", queue=self._queue)

    async def _take(self, message: DeliveredMessage, acks: "_Acks") -> None:
        tag = int(message.delivery_tag or 0)
        acks.took(tag)
        self._in_hand += 1
        self._idle.clear()
        try:
            await self._settle(message, acks, tag)
        finally:
            self._in_hand -= 1
            if self._in_hand == 0:
                self._idle.set()

    async def _settle(self, message: DeliveredMessage, acks: "_Acks", tag: int) -> None:
        properties = message.header.properties
        delivery = Delivery(
            queue=self._queue,
            body=message.body,
            message_id=properties.message_id,
            event=properties.message_type,
            content_type=properties.content_type,
            headers=properties.headers or {},
            created_at=properties.timestamp,
        )
        try:
            await consume(self._policy, delivery, lambda: self._handle(delivery))
            settle = acks.done
        except MessageReturnedError:
            settle = acks.returned
        try:
            with broker_faults():
                await settle(tag)
        except BrokerAwayError as error:
            # Unacked, so it comes again when the broker is back, and the inbox knows it.
            _log.warning("ack_lost", queue=self._queue, message_id=delivery.message_id, error=error.message)

    async def _handle(self, delivery: Delivery) -> None:
        await self._hot.handle(self._hot.event.model_validate_json(delivery.body), delivery.message_id)


class _Acks:
    """Acks what is done, those that finish together by one frame.

    An ack with ``multiple`` settles every lower tag too, so it is sent only up to the first message that is still in
    hand. That is known because a channel's tags count up from 1 and are taken in that order; should they ever not,
    each message is acked alone.
    """

    def __init__(self, channel: aiormq.Channel) -> None:
        self._channel = channel
        self._last_taken = 0
        self._in_order = True
        # Tags not settled yet, in the order they came: whether each is done. At most as many as the prefetch.
        self._open: dict[int, bool] = {}
        self._done: list[int] = []
        self._is_acking = False

    def took(self, tag: int) -> None:
        """Note that a message came; called in the order of the tags."""
        self._in_order = self._in_order and tag == self._last_taken + 1
        self._last_taken = tag
        self._open[tag] = False

    async def returned(self, tag: int) -> None:
        """Give a message back to its queue."""
        # Open until it is written: an ack for all before this tag and beyond would otherwise settle it, and lose it.
        await self._channel.basic_nack(tag, requeue=True)
        del self._open[tag]

    async def done(self, tag: int) -> None:
        """Ack a message soon; the first of those that finish together acks for all and returns when that is written.

        Raises:
            One of BROKER_ERRORS: The channel is gone, and with it every ack not yet sent.
        """
        self._open[tag] = True
        self._done.append(tag)
        if self._is_acking:
            return
        self._is_acking = True
        try:
            await asyncio.sleep(0)  # a batch's messages finish in one turn of the loop
            while self._done:
                await self._ack_done()
        finally:
            self._is_acking = False

    async def _ack_done(self) -> None:
        done, self._done = self._done, []
        up_to = 0
        if self._in_order:
            for tag, is_done in self._open.items():
                if not is_done:
                    break
                up_to = tag
        alone = [tag for tag in done if tag > up_to]
        settled = [tag for tag in done if tag <= up_to]
        for tag in done:
            del self._open[tag]
        if settled:
            await self._channel.basic_ack(up_to, multiple=True, wait=not alone)
        for tag in alone:
            await self._channel.basic_ack(tag, wait=tag == alone[-1])
