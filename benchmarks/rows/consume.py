"""Row 5: messages through an ordinary consumer, with its inbox and tracing, and what tracing costs when sampled.

The consumer is FastStream's, as every queue but the hot one has it; its handler only claims the message, in a
transaction of its own. The limit is aio-pika consuming and acking the same messages from a queue of the same kind, with
the same prefetch, and doing nothing. Both find a full queue: the consumer's process is started on it anew for each
measurement, and the clock starts when it is ready.

Spans are sent to a sink that answers and forgets. Sampling is decided where a trace begins: a message says by its
``traceparent`` whether it is sampled, so at 1 % every hundredth does.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Self

import aio_pika
import asyncpg
from consumer_process import CLAIM, EVENT
from rappit_common.clock import new_id
from rappit_common.messaging.events import EVENTS_EXCHANGE, HEADER_ORGANIZATION
from rappit_common.messaging.topology import declare_topology, queue_arguments
from stand import Stand

IN_FLIGHT = 200
PREFETCH = 32
FIRST_MESSAGES = 3_000
BARE_QUEUE = "bench.bare"
DRAIN_WITHIN_S = 120
POLL_S = 0.02
# The process takes messages before it says that it is ready: those are not timed.
BEFORE_READY_S = 1.0
_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


@asynccontextmanager
async def span_sink() -> AsyncIterator[str]:
    """Run what takes every span and forgets it; gives its address."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(
                    (line.split(b":")[1] for line in head.lower().split(b"\r\n") if b"content-length" in line), b"0"
                )
                await reader.readexactly(int(length))
                writer.write(_ANSWER)
        except (asyncio.IncompleteReadError, ConnectionError):
            # The process has ended.
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


class _Consumer:
    """The queue, what fills it, and the process that empties it."""

    def __init__(self, stand: Stand) -> None:
        self._stand = stand
        self._stack = AsyncExitStack()
        self._rates: dict[float | None, float] = {}

    async def __aenter__(self) -> Self:
        stand = self._stand
        await stand.sandbox.prepare("rappit_inventory", "inventory")
        self._sink = await self._stack.enter_async_context(span_sink())
        self._database: Any = await asyncpg.connect(stand.sandbox.urls("inventory").owner_url)
        self._stack.push_async_callback(self._database.close)
        connection = await aio_pika.connect(stand.sandbox.rabbitmq_url)
        await self._stack.enter_async_context(connection)
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        await declare_topology(channel, "bench", (CLAIM,), ())
        await channel.declare_queue(BARE_QUEUE, durable=True, arguments=queue_arguments(BARE_QUEUE))
        await channel.set_qos(prefetch_count=PREFETCH)
        self.connection = connection
        self._channel: Any = await channel.get_underlay_channel()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    async def fill(self, exchange: str, routing_key: str, messages: int, *, sampled: float) -> None:
        numbers = iter(range(messages))
        chosen = random.Random(messages)

        async def publish_on() -> None:
            for _ in numbers:
                organization_id = str(new_id())
                flags = "01" if chosen.random() < sampled else "00"
                message = aio_pika.Message(
                    f'{{"organization_id":"{organization_id}","text":"{"x" * 400}"}}'.encode(),
                    headers={
                        HEADER_ORGANIZATION: organization_id,
                        "traceparent": f"00-{new_id().hex}-{new_id().hex[16:]}-{flags}",
                    },
                    content_type="application/json",
                    delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                    message_id=str(new_id()),
                    type=EVENT,
                )
                await self._channel.basic_publish(
                    message.body,
                    exchange=exchange,
                    routing_key=routing_key,
                    properties=message.properties,
                    mandatory=True,
                    wait=False,
                )

        await asyncio.gather(*(publish_on() for _ in range(IN_FLIGHT)))

    async def rate(self, seconds: float, *, sampled: float | None) -> float:
        """Return messages handled per second; ``sampled`` is the part of the traces that is, None without tracing."""
        expected = self._rates.get(sampled)
        messages = int(expected * (seconds + BEFORE_READY_S)) if expected else FIRST_MESSAGES
        await self._database.execute("DELETE FROM inventory.inbox WHERE consumer = $1", CLAIM.queue)
        await self.fill(EVENTS_EXCHANGE, EVENT, messages, sampled=sampled or 0)
        environment = {
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "CONSUMER_PREFETCH": str(PREFETCH),
            "LOG_LEVEL": "INFO",
        }
        if sampled is not None:
            environment |= {"OTEL_EXPORTER_OTLP_ENDPOINT": self._sink, "TRACE_SAMPLE_RATIO": str(sampled)}
        async with self._stand.service("consumer_process", "inventory", "worker", **environment):
            before, started = await self._claimed(), time.perf_counter()
            async with asyncio.timeout(DRAIN_WITHIN_S):
                while (claimed := await self._claimed()) < messages:  # noqa: ASYNC110 - in another process
                    await asyncio.sleep(POLL_S)
            elapsed = time.perf_counter() - started
        self._rates[sampled] = (claimed - before) / elapsed
        return self._rates[sampled]

    async def _claimed(self) -> int:
        query = "SELECT count(*) FROM inventory.inbox WHERE consumer = $1"
        return int(await self._database.fetchval(query, CLAIM.queue))


class MessagesConsumed:
    """Row 5."""

    title = "messages through a consumer, inbox and tracing on"
    limit_title = f"aio-pika consuming and acking the same, prefetch {PREFETCH}"
    # The limit does nothing at all, so this says what a transaction a message costs, and no more.
    goal = None

    def __init__(self, stand: Stand) -> None:
        self._consumer = _Consumer(stand)
        self._limit_rate = 0.0

    async def __aenter__(self) -> Self:
        await self._consumer.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._consumer.__aexit__(*exc)

    async def limit(self, seconds: float) -> float:
        """Messages per second, taken and acked."""
        messages = int(self._limit_rate * seconds) or FIRST_MESSAGES
        await self._consumer.fill("", BARE_QUEUE, messages, sampled=1)
        left = messages
        done = asyncio.Event()

        async def take(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            nonlocal left
            await message.ack()
            left -= 1
            if left == 0:
                done.set()

        async with self._consumer.connection.channel() as channel:
            await channel.set_qos(prefetch_count=PREFETCH)
            queue = await channel.declare_queue(BARE_QUEUE, passive=True)
            started = time.perf_counter()
            await queue.consume(take)
            async with asyncio.timeout(DRAIN_WITHIN_S):
                await done.wait()
            self._limit_rate = messages / (time.perf_counter() - started)
        return self._limit_rate

    async def measured(self, seconds: float) -> float:
        """Messages per second, handled, every one of them traced."""
        return await self._consumer.rate(seconds, sampled=1.0)


class TracingSampled:
    """What is left of the rate when spans are sent, of one trace in a hundred."""

    title = "the same, 1 % of the traces sampled and sent"
    limit_title = "without tracing"
    goal = None

    def __init__(self, stand: Stand) -> None:
        self._consumer = _Consumer(stand)

    async def __aenter__(self) -> Self:
        await self._consumer.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._consumer.__aexit__(*exc)

    async def limit(self, seconds: float) -> float:
        """Messages per second without an endpoint for spans."""
        return await self._consumer.rate(seconds, sampled=None)

    async def measured(self, seconds: float) -> float:
        """Messages per second with one."""
        return await self._consumer.rate(seconds, sampled=0.01)
