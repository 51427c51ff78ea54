"""Unreadable messages are kept with their reason; an outage of ours burns no attempt; nobody's failure is another's."""

import asyncio
import base64
from contextlib import asynccontextmanager

import aio_pika
import pytest
from rappit_common.clock import new_id
from rappit_common.messaging import tables
from rappit_common.messaging.events import EVENTS_EXCHANGE, HEADER_ORGANIZATION
from rappit_common.messaging.outbox import outbox_row
from rappit_common.messaging.publisher import Publisher
from rappit_common.messaging.relay import Relay
from rappit_common.testing.waiting import eventually
from rappit_common.web.auth import Role
from rappit_sample.service import ECHO, NoteWritten
from sqlalchemy import insert, select, text

pytestmark = pytest.mark.server


async def send_raw(sample, body, *, content_type="application/json", organization_id=None):
    message_id = str(new_id())
    connection = await aio_pika.connect(sample.settings.rabbitmq_url.get_secret_value())
    async with connection:
        channel = await connection.channel()
        exchange = await channel.get_exchange(EVENTS_EXCHANGE)
        headers = {HEADER_ORGANIZATION: str(organization_id)} if organization_id else {}
        message = aio_pika.Message(
            body, message_id=message_id, content_type=content_type, type=NoteWritten.event_name, headers=headers
        )
        await exchange.publish(message, NoteWritten.event_name)
    return message_id


async def letter_of(sample, message_id):
    async def kept():
        headers = sample.headers(None, Role.OPERATOR)
        items = (await sample.http.get("/sample/ops/dead-letters", headers=headers)).json()["items"]
        return next((item for item in items if item["message_id"] == message_id), None)

    return await eventually(kept, what="the dead letter")


@pytest.mark.parametrize("body", [b"{not json", b"[]", b'{"text": 5}', b"\xff\xfe", b""])
async def test_unreadable_message_is_dead_lettered_with_its_reason_and_bytes(sample, body):
    letter = await letter_of(sample, await send_raw(sample, body))
    assert letter["attempts"] == 1
    assert letter["error_message"]
    headers = sample.headers(None, Role.OPERATOR)
    detail = (await sample.http.get(f"/sample/ops/dead-letters/{letter['id']}", headers=headers)).json()
    encoding = {"utf-8": "utf-8", "base64": "base64"}[detail["body_encoding"]]
    kept = detail["body"].encode() if encoding == "utf-8" else base64.b64decode(detail["body"])
    assert kept == body


async def test_database_outage_holds_the_message_and_burns_no_attempt(sample, monkeypatch):
    organization_id = new_id()
    outages = [ConnectionRefusedError("database away")] * 5
    sample.scripted.failures[:] = outages
    answer = await sample.http.post("/sample/notes", json={"text": "held"}, headers=sample.headers(organization_id))
    assert answer.status_code == 201

    async def echoed():
        notes = await sample.http.get("/sample/notes", headers=sample.headers(organization_id))
        return notes.json() == ["held", "echo of held"]

    await eventually(echoed)
    assert sample.scripted.deliveries == 6


@asynccontextmanager
async def second_relay(sample, batch_rows=3):
    publisher = Publisher(sample.settings.rabbitmq_url, timeout_s=5, name="second")
    await publisher.start()
    await publisher.wait_connected(5)
    yield Relay(sample.runtime.database, publisher, batch_rows=batch_rows)
    await publisher.close()


async def test_several_relays_at_once_publish_each_row_once(sample):
    organization_id = new_id()
    rows = [outbox_row(NoteWritten(organization_id=organization_id, text=f"n{i}")) for i in range(60)]
    async with second_relay(sample) as one, second_relay(sample) as two:
        async with sample.runtime.database.engine.begin() as connection:
            await connection.execute(insert(tables.outbox), rows)

        async def drained():
            taken = await asyncio.gather(one.drain_once(), two.drain_once())
            return sum(taken) == 0

        await eventually(drained)

    async def all_echoed():
        notes = await sample.http.get("/sample/notes", headers=sample.headers(organization_id))
        return len(notes.json()) == 60

    await eventually(all_echoed)
    assert sample.scripted.deliveries == 60


async def test_an_unroutable_row_waits_without_holding_up_the_others(sample):
    organization_id = new_id()
    lost = outbox_row(NoteWritten(organization_id=organization_id, text="nobody listens"))
    lost |= {"event": "sample.nobody-listens.v1", "routing_key": "sample.nobody-listens.v1"}
    heard = outbox_row(NoteWritten(organization_id=organization_id, text="heard"))
    async with sample.runtime.database.engine.begin() as connection:
        await connection.execute(insert(tables.outbox), [lost, heard])

    async def echoed():
        notes = await sample.http.get("/sample/notes", headers=sample.headers(organization_id))
        return notes.json() == ["echo of heard"]

    await eventually(echoed)

    async def postponed():
        async with sample.runtime.database.engine.connect() as connection:
            query = select(tables.outbox).where(tables.outbox.c.id == lost["id"])
            row = (await connection.execute(query)).one()
        return row if row.failures > 0 else None

    row = await eventually(postponed)
    assert row.sent_at is None
    assert "no queue is bound" in row.last_error


async def test_audit_log_refuses_change_even_to_the_runtime_role(sample):
    async with sample.runtime.units.bypass_tenancy("test", actor="tester"):
        pass
    async with sample.runtime.database.engine.connect() as connection:
        with pytest.raises(Exception, match="append-only"):
            await connection.execute(text("UPDATE audit_log SET actor = 'someone else'"))


async def test_poison_that_no_table_could_hold_as_it_is_is_kept_all_the_same(sample):
    connection = await aio_pika.connect(sample.settings.rabbitmq_url.get_secret_value())
    async with connection:
        channel = await connection.channel()
        message = aio_pika.Message(
            b"\x00\x00",
            message_id=f"{new_id()}" + "x" * 210,
            content_type="application/json",
            type="t" * 250,
            headers={"rappit-attempt": "many", "note": "\x00"},
        )
        await channel.default_exchange.publish(message, ECHO.queue)

    async def kept():
        headers = sample.headers(None, Role.OPERATOR)
        items = (await sample.http.get("/sample/ops/dead-letters", headers=headers)).json()["items"]
        return next((item for item in items if item["event"] == "t" * 200), None)

    letter = await eventually(kept, what="the dead letter")
    assert letter["attempts"] == 1
    assert len(letter["message_id"]) == 64


async def test_a_row_whose_headers_cannot_travel_waits_without_holding_up_the_others(sample):
    organization_id = new_id()
    broken = outbox_row(NoteWritten(organization_id=organization_id, text="broken"))
    broken |= {"headers": {"number": 2**70}}
    fine = outbox_row(NoteWritten(organization_id=organization_id, text="fine"))
    async with sample.runtime.database.engine.begin() as connection:
        await connection.execute(insert(tables.outbox), [broken, fine])

    async def echoed():
        notes = await sample.http.get("/sample/notes", headers=sample.headers(organization_id))
        return notes.json() == ["echo of fine"]

    await eventually(echoed)
