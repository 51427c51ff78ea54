"""Row 4: the outbox relay, by its rate and by how soon a consumer hears what was committed.

The limit of the rate is aiormq publishing the same bytes with the same properties to the same quorum queue, its writes
not waited for, with as many confirms in flight as the relay has rows in a batch. The relay is a process of a service;
its rate is from the commit of a full outbox to the last message in the queue.

For the latency a unit of work commits one event at a time, at a steady rate, with the relay of its own process, as in a
service that runs whole; the consumer is bare.
"""

import asyncio
import json
import time
from contextlib import AsyncExitStack
from typing import Any, ClassVar, Self

import aio_pika
import asyncpg
from pydantic import SecretStr
from rappit_common.clock import new_id
from rappit_common.database.engine import Database
from rappit_common.messaging.events import EVENTS_EXCHANGE, HEADER_ORGANIZATION, PublishedEvent
from rappit_common.messaging.publisher import Publisher
from rappit_common.messaging.relay import Relay
from rappit_common.unit_of_work import UnitOfWork, UnitsOfWork
from stand import Stand

IN_FLIGHT = 200
BODY = b"x" * 1_300
EVENT = "bench.relayed.v1"
QUEUE = "bench.relayed"
FIRST_ROWS = 2_000
DRAIN_WITHIN_S = 60
POLL_S = 0.02
STEADY_RATE = 50.0
CONNECT_WITHIN_S = 10

_INSERT = f"""
INSERT INTO inventory.outbox (id, organization_id, event, exchange, routing_key, message_id, content_type, headers, body,
    mandatory)
SELECT id, $2, '{EVENT}', '{EVENTS_EXCHANGE}', '{EVENT}', id::text, 'application/json', $3::jsonb, $4, true
FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, $1::int)) AS ids
"""  # noqa: E501, S608 - as its table's columns stand; nothing comes from outside


class Relayed(PublishedEvent):
    """An event that only the bench hears."""

    event_name: ClassVar[str] = EVENT
    text: str


def headers() -> dict[str, str]:
    return {HEADER_ORGANIZATION: str(new_id()), "traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}


class OutboxRelayed:
    """Row 4."""

    title = "outbox relay (1.3 KB)"
    limit_title = f"aiormq confirmed publishes, not waiting for the socket, {IN_FLIGHT} in flight"
    goal = 0.7
    latency_goal_ms = 10.0

    def __init__(self, stand: Stand) -> None:
        self._stand = stand
        self._stack = AsyncExitStack()
        self._process = AsyncExitStack()
        self._rate = 0.0

    async def __aenter__(self) -> Self:
        stand = self._stand
        self._stack.push_async_callback(self._process.aclose)
        await self._process.enter_async_context(stand.service("rappit_inventory", "inventory", "relay"))
        self._database: Any = await asyncpg.connect(stand.sandbox.urls("inventory").owner_url)
        self._stack.push_async_callback(self._database.close)
        connection = await aio_pika.connect(stand.sandbox.rabbitmq_url)
        await self._stack.enter_async_context(connection)
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        self._channel: Any = await channel.get_underlay_channel()
        self._queue = await channel.declare_queue(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
        await self._queue.bind(EVENTS_EXCHANGE, EVENT)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    async def limit(self, seconds: float) -> float:
        """Confirmed publishes per second."""
        published = 0
        deadline = time.perf_counter() + seconds
        carried: dict[str, Any] = headers()

        async def publish_on() -> None:
            nonlocal published
            while time.perf_counter() < deadline:
                message = aio_pika.Message(
                    BODY,
                    headers=carried,
                    content_type="application/json",
                    delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                    message_id=str(new_id()),
                    type=EVENT,
                )
                await self._channel.basic_publish(
                    message.body,
                    exchange=EVENTS_EXCHANGE,
                    routing_key=EVENT,
                    properties=message.properties,
                    mandatory=True,
                    wait=False,
                )
                published += 1

        started = time.perf_counter()
        await asyncio.gather(*(publish_on() for _ in range(IN_FLIGHT)))
        rate = published / (time.perf_counter() - started)
        await self._queue.purge()
        return rate

    async def measured(self, seconds: float) -> float:
        """Rows relayed per second."""
        rows = int(self._rate * seconds) or FIRST_ROWS
        await self._database.execute(_INSERT, rows, new_id(), json.dumps(headers()), BODY)
        started = time.perf_counter()
        async with asyncio.timeout(DRAIN_WITHIN_S + seconds):
            while await self._arrived() < rows:  # noqa: ASYNC110 - it happens in another process
                await asyncio.sleep(POLL_S)
        self._rate = rows / (time.perf_counter() - started)
        await self._queue.purge()
        return self._rate

    async def _arrived(self) -> int:
        declared = await self._channel.queue_declare(QUEUE, passive=True)
        return int(declared.message_count or 0)

    async def latencies_s(self, seconds: float) -> list[float]:
        """Return the times from commit to consumer at a steady rate. The last to be measured: it ends the process."""
        await self._process.aclose()
        heard: dict[str, float] = {}

        async def take(message: Any) -> None:
            heard[message.header.properties.message_id] = time.perf_counter()

        async with AsyncExitStack() as stack:
            units = await self._own_relay(stack)
            begun = await self._channel.basic_consume(QUEUE, take, no_ack=True)
            stack.push_async_callback(self._channel.basic_cancel, begun.consumer_tag)
            committed: dict[str, float] = {}
            started = time.perf_counter()
            for number in range(int(seconds * STEADY_RATE)):
                await asyncio.sleep(max(0.0, started + number / STEADY_RATE - time.perf_counter()))
                organization_id = new_id()
                async with units.begin(organization_id) as unit:
                    event = Relayed(organization_id=organization_id, text="x" * len(BODY))
                    message_id = str(unit.outbox.add(event))
                committed[message_id] = time.perf_counter()
            async with asyncio.timeout(DRAIN_WITHIN_S):
                while len(heard) < len(committed):  # noqa: ASYNC110 - the relay says to nobody that it has sent
                    await asyncio.sleep(POLL_S)
        return [heard[message_id] - moment for message_id, moment in committed.items()]

    async def _own_relay(self, stack: AsyncExitStack) -> UnitsOfWork[UnitOfWork]:
        sandbox = self._stand.sandbox
        database = Database(SecretStr(sandbox.urls("inventory").runtime_url), schema="inventory")
        stack.push_async_callback(database.close)
        publisher = Publisher(SecretStr(sandbox.rabbitmq_url), timeout_s=5, name="bench-relay")
        stack.push_async_callback(publisher.close)
        await publisher.start()
        await publisher.wait_connected(CONNECT_WITHIN_S)
        relay = Relay(database, publisher)
        stack.push_async_callback(relay.stop)
        await relay.start()
        return UnitsOfWork(database, UnitOfWork, relay.nudge)
