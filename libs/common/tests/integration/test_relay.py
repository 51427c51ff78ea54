"""The relay: batches bounded in bytes, doubled by no second relay, lost with no process that sent them."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta

import aio_pika
import pytest
import pytest_asyncio
from rappit_common.clock import new_id
from rappit_common.messaging import relay as relay_module
from rappit_common.messaging import tables
from rappit_common.messaging.events import EVENTS_EXCHANGE
from rappit_common.messaging.outbox import outbox_row
from rappit_common.messaging.publisher import BrokerAwayError, Publisher, UnroutableError
from rappit_common.messaging.relay import Relay
from rappit_common.messaging.volley import Outgoing
from rappit_common.messaging.wire import PersistentProperties
from rappit_common.testing.waiting import eventually
from rappit_sample.service import NoteWritten
from sqlalchemy import delete, func, insert, select

pytestmark = pytest.mark.server

KIB = 1024


class Counting:
    """A queue of a test's own, and how often each message arrived in it."""

    def __init__(self, key):
        self.key = key
        self.heard = Counter()
        self.messages = []

    async def take(self, message):
        self.heard[message.message_id] += 1
        self.messages.append(message)


@pytest_asyncio.fixture
async def counting(sample):
    """A consumer that counts, while the sample's own relay is at rest."""
    own = Counting(f"test.{new_id()}")
    running = sample.runtime.units._nudge.__self__
    await running.stop()
    async with await aio_pika.connect(sample.settings.rabbitmq_url.get_secret_value()) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(own.key)
        await queue.bind(EVENTS_EXCHANGE, own.key)
        await queue.consume(own.take, no_ack=True)
        yield own
        await queue.delete(if_unused=False, if_empty=False)
    async with sample.runtime.database.engine.begin() as connection:
        await connection.execute(delete(tables.outbox).where(tables.outbox.c.routing_key == own.key))
    await running.start()


@asynccontextmanager
async def own_publisher(sample, name="relay-test"):
    publisher = Publisher(sample.settings.rabbitmq_url, timeout_s=5, name=name)
    await publisher.start()
    await publisher.wait_connected(5)
    yield publisher
    await publisher.close()


def rows_for(key, count, body=b"{}"):
    organization_id = new_id()
    row = lambda: outbox_row(NoteWritten(organization_id=organization_id, text="x"))  # noqa: E731 - a new id each
    return [row() | {"routing_key": key, "body": body} for _ in range(count)]


async def put(sample, rows):
    async with sample.runtime.database.engine.begin() as connection:
        await connection.execute(insert(tables.outbox), rows)


async def unsent(sample, key):
    query = select(func.count()).where(tables.outbox.c.routing_key == key, tables.outbox.c.sent_at.is_(None))
    async with sample.runtime.database.engine.connect() as connection:
        return (await connection.execute(query)).scalar_one()


async def test_batch_holds_no_more_bytes_than_it_may_but_at_least_one_row(sample, counting):
    await put(sample, rows_for(counting.key, 5, b"x" * 40 * KIB))
    await put(sample, rows_for(counting.key, 1, b"x" * 300 * KIB))
    async with own_publisher(sample) as publisher:
        relay = Relay(sample.runtime.database, publisher, batch_bytes=100 * KIB)
        has_more = []
        taken = [await relay.drain_once(has_more.append) for _ in range(5)]
    assert taken == [2, 2, 1, 1, 0]
    assert has_more == [True, True, True, False, False]
    await eventually(lambda: asyncio.sleep(0, len(counting.heard) == 6), what="all bodies")


async def test_large_rows_leave_one_after_the_other_without_waiting_for_the_poll(sample, counting):
    await put(sample, rows_for(counting.key, 8, b"x" * 90 * KIB))
    async with own_publisher(sample) as publisher:
        relay = Relay(sample.runtime.database, publisher, batch_bytes=100 * KIB, poll_s=60)
        await relay.start()
        await eventually(lambda: asyncio.sleep(0, len(counting.heard) == 8), within_s=20, what="all bodies")
        await relay.stop()
    assert await unsent(sample, counting.key) == 0


async def test_several_relays_double_nothing_and_each_makes_progress(sample, counting):
    rows = rows_for(counting.key, 2_000)
    sent = Counter()
    async with AsyncExitStack() as stack:
        relays = []
        for name in ("one", "two"):
            publisher = await stack.enter_async_context(own_publisher(sample, name))
            publish_all = publisher.publish_all

            async def counted(messages, name=name, publish_all=publish_all):
                # Other tests leave rows for queues that are gone.
                sent[name] += sum(message.routing_key == counting.key for message in messages)
                return await publish_all(messages)

            publisher.publish_all = counted
            relays.append(Relay(sample.runtime.database, publisher, batch_rows=50))
        await put(sample, rows)
        await asyncio.gather(*(relay.start() for relay in relays))
        await eventually(lambda: asyncio.sleep(0, len(counting.heard) == 2_000), what="every row")
        await asyncio.gather(*(relay.stop() for relay in relays))
    assert counting.heard == Counter({row["message_id"]: 1 for row in rows})
    assert sum(sent.values()) == 2_000
    assert min(sent.values()) > 0
    assert await unsent(sample, counting.key) == 0


async def test_death_between_the_confirm_and_the_mark_repeats_the_row_under_its_id(sample, counting, monkeypatch):
    [row] = rows_for(counting.key, 1)
    await put(sample, [row])
    async with own_publisher(sample) as publisher:
        relay = Relay(sample.runtime.database, publisher)
        with monkeypatch.context() as dying:
            dying.setattr(relay_module, "_MARK_SENT", None)
            with pytest.raises(Exception, match="executable"):
                await relay.drain_once()
        await eventually(lambda: asyncio.sleep(0, counting.heard[row["message_id"]] == 1), what="the first copy")
        assert await relay.drain_once() == 1
    await eventually(lambda: asyncio.sleep(0, counting.heard[row["message_id"]] == 2), what="the second copy")
    assert await unsent(sample, counting.key) == 0


async def test_every_copy_carries_the_time_of_its_row(sample, counting):
    created_at = datetime(2026, 11, 1, 12, 30, 15, tzinfo=UTC)
    await put(sample, [row | {"created_at": created_at} for row in rows_for(counting.key, 1)])
    async with own_publisher(sample) as publisher:
        await Relay(sample.runtime.database, publisher).drain_once()
    await eventually(lambda: asyncio.sleep(0, bool(counting.messages)), what="the message")
    assert counting.messages[0].timestamp == created_at


async def test_row_that_has_no_form_on_the_wire_holds_up_nobody(sample, counting):
    broken, *others = rows_for(counting.key, 3)
    broken["headers"] = {"n" * 300: "x"}
    await put(sample, [broken, *others])
    async with own_publisher(sample) as publisher:
        assert await Relay(sample.runtime.database, publisher).drain_once() == 3
    await eventually(lambda: asyncio.sleep(0, len(counting.heard) == 2), what="the others")
    assert await unsent(sample, counting.key) == 1


def outgoing(key, message_id, *, exchange=EVENTS_EXCHANGE):
    properties = PersistentProperties(
        content_type="text/plain", headers={}, message_id=message_id, timestamp=datetime.now(UTC), message_type="x"
    )
    return Outgoing(b"x", exchange, key, properties, mandatory=True)


@pytest.mark.parametrize("lost_first", [True, False])
async def test_messages_of_one_id_are_each_told_their_own_fate(sample, counting, lost_first):
    # Two dead letters of one message, requeued together to two queues of which one is gone.
    message_id = str(new_id())
    messages = [outgoing("test.no-such-queue", message_id, exchange=""), outgoing(counting.key, message_id)]
    async with own_publisher(sample) as publisher:
        lost, kept = (
            await publisher.publish_all(messages) if lost_first else (await publisher.publish_all(messages[::-1]))[::-1]
        )
    assert isinstance(lost, UnroutableError)
    assert kept is None


async def test_batch_that_is_not_confirmed_in_time_says_so_of_each(sample, counting):
    async with own_publisher(sample) as publisher:
        publisher._timeout_s = 0
        errors = await publisher.publish_all([outgoing(counting.key, str(new_id())) for _ in range(3)])
        assert [type(error) for error in errors] == [BrokerAwayError] * 3
        publisher._timeout_s = 5
        # The late confirms are nobody's, and the next ones find their messages.
        assert await publisher.publish_all([outgoing(counting.key, str(new_id()))]) == [None]


async def test_claims_are_forgotten_after_the_time_that_was_set(sample):
    consumer = f"test.{new_id()}"
    ages = {"young": timedelta(days=2), "old": timedelta(days=4)}
    claims = [
        {"consumer": consumer, "message_id": name, "claimed_at": datetime.now(UTC) - age} for name, age in ages.items()
    ]
    async with sample.runtime.database.engine.begin() as connection:
        await connection.execute(insert(tables.inbox), claims)
    relay = Relay(sample.runtime.database, sample.runtime.publisher, keep_claims=timedelta(days=3))
    await relay.purge()
    async with sample.runtime.database.engine.connect() as connection:
        left = await connection.execute(select(tables.inbox.c.message_id).where(tables.inbox.c.consumer == consumer))
        assert left.scalars().all() == ["young"]
