"""Queues, and what happens to a message that fails: declared the same on RabbitMQ 3.10 and 4.x.

For a subscription's queue Q there is Q itself, ``Q.dlq`` behind the exchange ``rappit.dead-letters``, and the service's
delay queues, one a step, each behind a fanout exchange of the same name. A message published to that exchange with Q as
its routing key waits there for the step's time and comes back to Q through the default exchange, because a message that
expires keeps its routing key. All are quorum queues: at-least-once dead-lettering needs them, with reject-publish.

Arguments are what safety needs and never change: a redeclare with others is refused (406). What operators tune, the
delivery limit and the length of queues, are policies, ``deploy/rabbitmq/policies.json`` (docs/adr/0012). Without them
nothing is lost: a queue has no bound then, and a message that kills its consumer comes back for ever on RabbitMQ 3.10,
20 times on 4.x.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractQueue
from faststream.rabbit import QueueType, RabbitQueue
from pydantic import BaseModel

from rappit_common.messaging.events import DEAD_LETTERS_EXCHANGE, EVENTS_EXCHANGE

NO_DELIVERY_LIMIT = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Subscription:
    """A consumer's queue and the events that flow into it.

    Args:
        queue: ``<service>.<reaction>``, for example ``inventory.reserve-on-order-changed``.
        events: Names of events, each also its routing key.
        reads: What its consumer reads: the event's model, or a function of headers and body that raises what the
            consumer would. It stands here, and the consumer uses the same, so that an operator's edit is judged by it.
    """

    queue: str
    events: tuple[str, ...]
    reads: type[BaseModel] | Callable[[Mapping[str, Any], bytes], object] | None = field(default=None, compare=False)

    @property
    def dead_letter_queue(self) -> str:
        """Where its poison waits to be drained into the dead-letter table."""
        return f"{self.queue}.dlq"

    @property
    def schema(self) -> dict[str, Any] | None:
        """The JSON schema of what its consumer reads; None where that is no JSON, or not declared."""
        model = self._model
        return None if model is None else model.model_json_schema()

    def read(self, headers: Mapping[str, Any], body: bytes) -> object:
        """Read a message as its consumer would.

        Raises:
            Exception: Whatever the consumer would raise.
        """
        model = self._model
        if model is not None:
            return model.model_validate_json(body)
        if self.reads is None:
            return body
        return cast("Callable[[Mapping[str, Any], bytes], object]", self.reads)(headers, body)

    @property
    def _model(self) -> type[BaseModel] | None:
        reads = self.reads
        return reads if isinstance(reads, type) and issubclass(reads, BaseModel) else None

    def as_faststream(self) -> RabbitQueue:
        """Return the queue for a FastStream subscriber, which finds it declared already."""
        return RabbitQueue(self.queue, queue_type=QueueType.QUORUM, durable=True, declare=False)


def queue_arguments(queue: str) -> dict[str, Any]:
    """Return the arguments of a subscription's queue."""
    return {
        "x-queue-type": "quorum",
        "x-dead-letter-exchange": DEAD_LETTERS_EXCHANGE,
        "x-dead-letter-routing-key": queue,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


def delay_name(service: str, delay_s: float) -> str:
    """Return the name of a service's delay exchange and queue; the delay is part of it since it can never change."""
    return f"{service}.retry.{int(delay_s * 1000)}ms"


async def declare_topology(
    channel: AbstractChannel, service: str, subscriptions: tuple[Subscription, ...], retry_delays_s: tuple[float, ...]
) -> dict[str, AbstractQueue]:
    """Declare all that a service's consumers need. Safe to repeat, by any number of processes at once.

    Returns:
        The dead-letter queues by their subscription's queue. Consume from these: a robust channel brings back the
        consumers of the queues that it declared itself, and of no others.
    """
    letters: dict[str, AbstractQueue] = {}
    events = await channel.declare_exchange(EVENTS_EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True)
    dead = await channel.declare_exchange(DEAD_LETTERS_EXCHANGE, aio_pika.ExchangeType.DIRECT, durable=True)
    for delay_s in retry_delays_s:
        name = delay_name(service, delay_s)
        waiting = await channel.declare_exchange(name, aio_pika.ExchangeType.FANOUT, durable=True)
        delay = await channel.declare_queue(
            name,
            durable=True,
            arguments={
                "x-queue-type": "quorum",
                "x-message-ttl": int(delay_s * 1000),
                "x-dead-letter-exchange": "",
                "x-dead-letter-strategy": "at-least-once",
                "x-overflow": "reject-publish",
            },
        )
        await delay.bind(waiting)
    for subscription in subscriptions:
        dead_letters = await channel.declare_queue(
            subscription.dead_letter_queue,
            durable=True,
            # RabbitMQ 4 drops a message at its 20th return unless told otherwise, and here nothing may be dropped; its
            # word for "no limit", -1, means "at once" to 3.10.
            arguments={"x-queue-type": "quorum", "x-delivery-limit": NO_DELIVERY_LIMIT},
        )
        # Bound before the queue exists: a message may fail as soon as there is one.
        await dead_letters.bind(dead, routing_key=subscription.queue)
        letters[subscription.queue] = dead_letters
        queue = await channel.declare_queue(
            subscription.queue, durable=True, arguments=queue_arguments(subscription.queue)
        )
        for event in subscription.events:
            await queue.bind(events, routing_key=event)
    return letters
