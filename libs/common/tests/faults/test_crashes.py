"""Servers die without a word while messages flow: nothing is lost, nothing is doubled, all comes back by itself."""

import asyncio
import contextlib
import functools

import aio_pika
import pytest
from aio_pika.exceptions import DeliveryError
from rappit_common.clock import new_id
from rappit_common.messaging.events import EVENTS_EXCHANGE
from rappit_common.testing.waiting import eventually
from rappit_sample.service import NoteWritten

pytestmark = pytest.mark.server

WRITERS = 4
BEFORE, AWAY, AFTER = 40, 20, 20


async def write_some(sample, name, count):
    """Write notes from several callers at once. Returns the statuses by text."""
    texts = [f"{name}-{number}" for number in range(count)]
    answers = {}

    async def one(mine):
        for text in mine:
            answers[text] = await sample.write(text)

    await asyncio.gather(*(one(texts[start::WRITERS]) for start in range(WRITERS)))
    return answers


async def taken(exchange, message):
    # A queue that has just come back says no for a moment.
    with contextlib.suppress(DeliveryError):
        await exchange.publish(message, NoteWritten.event_name)
        return True


async def send_poison(url, count):
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        exchange = await channel.get_exchange(EVENTS_EXCHANGE)
        ids = [str(new_id()) for _ in range(count)]
        for message_id in ids:
            message = aio_pika.Message(
                b"{poison", message_id=message_id, content_type="application/json", delivery_mode=2
            )
            await eventually(functools.partial(taken, exchange, message), what="the queue to take a message")
    return set(ids)


async def echoed_once_each(sample, written):
    notes = await sample.notes()
    sure = {text for text, status in written.items() if status == 201}
    kept = {text for text in notes if not text.startswith("echo of ")}
    assert sure <= kept, "an accepted note is gone"
    return notes == {**dict.fromkeys(kept, 1), **dict.fromkeys((f"echo of {text}" for text in kept), 1)}


async def test_broker_killed_mid_flow_loses_and_doubles_nothing(mortal, sample_process):
    own, urls = mortal
    broker, sample = own.private("rabbitmq"), sample_process
    poison = await send_poison(urls.rabbitmq, 10)
    writing = asyncio.create_task(write_some(sample, "before", BEFORE))
    await eventually(lambda: asyncio.sleep(0, sample.logged("delivered")), what="the first delivery")
    await asyncio.to_thread(broker.kill)
    written = await writing
    await sample.until_ready(503)
    written |= await write_some(sample, "away", AWAY)
    assert set(written.values()) == {201}, "the outbox takes what the broker cannot"

    await asyncio.to_thread(broker.start)
    await sample.until_ready()
    poison |= await send_poison(urls.rabbitmq, 10)
    written |= await write_some(sample, "after", AFTER)

    await eventually(lambda: echoed_once_each(sample, written), within_s=20, what="one echo of each note")

    async def all_dead():
        return poison == {letter["message_id"] for letter in await sample.letters()}

    await eventually(all_dead, what="each poison among the dead letters")


async def test_database_killed_mid_flow_loses_and_doubles_nothing(mortal, sample_process):
    database, sample = mortal[0].private("postgres"), sample_process
    letters = len(await sample.letters())
    writing = asyncio.create_task(write_some(sample, "before", BEFORE))
    await eventually(lambda: asyncio.sleep(0, sample.logged("delivered")), what="the first delivery")
    await asyncio.to_thread(database.kill)
    written = await writing
    await sample.until_ready(503)
    written |= await write_some(sample, "away", 4)
    poison = await send_poison(mortal[1].rabbitmq, 10)
    assert set(written.values()) <= {201, 503}, written

    await asyncio.to_thread(database.start)
    await sample.until_ready()
    written |= await write_some(sample, "after", AFTER)
    await eventually(lambda: echoed_once_each(sample, written), within_s=20, what="one echo of each note")

    async def all_dead():
        found = await sample.letters()
        # An outage is no failure of a message: nothing but the poison may have died.
        assert len(found) == letters + len(poison), found
        return poison <= {letter["message_id"] for letter in found}

    await eventually(all_dead, what="each poison among the dead letters")
