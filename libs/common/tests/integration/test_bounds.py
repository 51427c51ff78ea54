"""One queue, one message, one task does not hold up or mislead the others."""

import asyncio
import socket
from contextlib import asynccontextmanager
from datetime import timedelta

import aio_pika
import pytest
from rappit_common.clock import new_id, utc_now
from rappit_common.messaging import tables
from rappit_common.messaging.events import EVENTS_EXCHANGE
from rappit_common.messaging.outbox import outbox_row
from rappit_common.messaging.publisher import Publisher
from rappit_common.messaging.relay import Relay
from rappit_common.testing.waiting import eventually
from rappit_common.unit_of_work import NestedUnitOfWorkError
from rappit_common.web.auth import Role
from rappit_sample.service import ECHO, NoteWritten
from sqlalchemy import func, insert, select

pytestmark = pytest.mark.server


@asynccontextmanager
async def own_queue(sample, **arguments):
    """A queue for events that nobody else takes. Yields its routing key and a function that counts its messages."""
    key = f"test.{new_id()}"
    async with await aio_pika.connect(sample.settings.rabbitmq_url.get_secret_value()) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(key, arguments=arguments)
        await queue.bind(EVENTS_EXCHANGE, key)

        async def count():
            return (await channel.declare_queue(key, passive=True)).declaration_result.message_count

        yield key, count
        await queue.delete(if_unused=False, if_empty=False)


def rows_for(key, count):
    organization_id = new_id()
    return [
        outbox_row(NoteWritten(organization_id=organization_id, text="x")) | {"routing_key": key} for _ in range(count)
    ]


async def put(sample, rows):
    async with sample.runtime.database.engine.begin() as connection:
        await connection.execute(insert(tables.outbox), rows)


async def test_full_queue_postpones_its_own_rows_only(sample):
    organization_id = new_id()
    async with own_queue(sample, **{"x-max-length": 1, "x-overflow": "reject-publish"}) as (key, _count):
        refused = rows_for(key, 20)
        await put(sample, refused)
        sample.runtime.units._nudge()

        async def postponed():
            query = select(func.count()).where(tables.outbox.c.routing_key == key, tables.outbox.c.failures > 0)
            async with sample.runtime.database.engine.connect() as connection:
                return (await connection.execute(query)).scalar_one() >= 15

        await eventually(postponed, what="the rows of the full queue")
        heard = outbox_row(NoteWritten(organization_id=organization_id, text="heard"))
        await put(sample, [heard])

        async def echoed():
            notes = await sample.http.get("/sample/notes", headers=sample.headers(organization_id))
            return notes.json() == ["echo of heard"]

        await eventually(echoed, within_s=5)
        async with sample.runtime.database.engine.begin() as connection:
            await connection.execute(tables.outbox.delete().where(tables.outbox.c.routing_key == key))


async def test_relay_that_stops_has_marked_all_that_it_published(sample):
    async with own_queue(sample) as (key, count):
        publisher = Publisher(sample.settings.rabbitmq_url, timeout_s=5, name="stopping")
        await publisher.start()
        await publisher.wait_connected(5)
        running = sample.runtime.units._nudge.__self__
        await running.stop()
        try:
            await put(sample, rows_for(key, 400))
            relay = Relay(sample.runtime.database, publisher, batch_rows=100)
            await relay.start()

            async def begun():
                return await count() > 0

            await eventually(begun, what="the first message")
            await relay.stop()
            query = select(func.count()).where(tables.outbox.c.routing_key == key, tables.outbox.c.sent_at.is_not(None))
            async with sample.runtime.database.engine.connect() as connection:
                marked = (await connection.execute(query)).scalar_one()
            assert await count() == marked
        finally:
            await running.start()
            await publisher.close()


async def test_message_with_headers_near_the_frame_limit_is_dead_lettered_alone(sample):
    message_id = str(new_id())
    async with await aio_pika.connect(sample.settings.rabbitmq_url.get_secret_value()) as connection:
        channel = await connection.channel()
        message = aio_pika.Message(
            b"{poison", message_id=message_id, content_type="application/json", headers={"note": "h" * 125_000}
        )
        await channel.default_exchange.publish(message, ECHO.queue)

    async def kept():
        headers = sample.headers(None, Role.OPERATOR)
        items = (await sample.http.get("/sample/ops/dead-letters", headers=headers)).json()["items"]
        return next((item for item in items if item["message_id"] == message_id), None)

    letter = await eventually(kept, what="the dead letter")
    assert letter["attempts"] == 1
    assert letter["error_type"] != "delivery_limit"


async def test_purge_keeps_up_with_a_busy_day(sample):
    old = utc_now() - timedelta(days=30)
    consumer = f"test.{new_id()}"
    fresh = {"consumer": consumer, "message_id": "fresh"}
    claims = [{"consumer": consumer, "message_id": str(n), "claimed_at": old} for n in range(11_000)]
    sent = [row | {"sent_at": old} for row in rows_for("test.purged", 5_500)]
    async with sample.runtime.database.engine.begin() as connection:
        await connection.execute(insert(tables.inbox), claims)
        await connection.execute(insert(tables.inbox), [fresh])
        await connection.execute(insert(tables.outbox), sent)
    await sample.runtime.units._nudge.__self__.purge()
    async with sample.runtime.database.engine.connect() as connection:
        left = await connection.execute(select(tables.inbox.c.message_id).where(tables.inbox.c.consumer == consumer))
        assert left.scalars().all() == ["fresh"]
        rows = select(func.count()).where(tables.outbox.c.routing_key == "test.purged")
        assert (await connection.execute(rows)).scalar_one() == 0


async def test_task_begun_inside_a_unit_may_open_its_own_once_that_has_ended(sample):
    ended = asyncio.Event()
    units = sample.runtime.units

    async def open_one():
        async with units.begin(new_id()):
            return True

    async def open_later():
        await ended.wait()
        return await open_one()

    async with units.begin(new_id()):
        with pytest.raises(NestedUnitOfWorkError):
            await asyncio.create_task(open_one())
        later = asyncio.create_task(open_later())
    ended.set()
    assert await later


async def test_text_that_cannot_be_stored_is_the_callers_mistake(sample):
    answer = await sample.http.post("/sample/notes", json={"text": "a\x00b"}, headers=sample.headers(new_id()))
    assert (answer.status_code, answer.json()["code"]) == (422, "unstorable_text")


async def test_database_that_falls_silent_is_noticed_by_the_kernel(sample):
    async with sample.runtime.database.engine.connect() as connection:
        raw = await connection.get_raw_connection()
        peer = raw.driver_connection._transport.get_extra_info("socket")
        assert peer.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000
