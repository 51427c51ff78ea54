"""SIGTERM: what is in hand is finished, nothing comes twice, and the process ends well and in time."""

import asyncio
from collections import Counter

import pytest
from rappit_common.testing.waiting import eventually
from rappit_common.web.auth import Role

pytestmark = pytest.mark.server

STOP_WITHIN_S = 15


@pytest.mark.parametrize("sample_process", [{"SAMPLE_HANDLER_S": "0.5", "CONSUMER_PREFETCH": "4"}], indirect=True)
async def test_messages_in_hand_are_finished_and_the_status_is_zero(sample_process):
    sample = sample_process
    assert set(await asyncio.gather(*(sample.write(f"note {number}") for number in range(12)))) == {201}
    await eventually(lambda: asyncio.sleep(0, sample.logged("delivered")), what="the first delivery")
    sample.terminate()
    assert await sample.ended(STOP_WITHIN_S) == 0
    given = Counter(entry["delivered_id"] for entry in sample.logged("delivered"))
    assert set(given.values()) == {1}
    assert len(given) < 12
    assert set(given) == {entry["delivered_id"] for entry in sample.logged("handled")}

    sample.start("serve")
    await sample.until_ready()

    async def all_handled():
        return len({entry["delivered_id"] for entry in sample.logged("handled")}) == 12

    await eventually(all_handled, what="the other messages")
    assert set(Counter(entry["delivered_id"] for entry in sample.logged("delivered")).values()) == {1}


async def test_stops_in_time_while_the_broker_and_the_database_are_gone(mortal, sample_process):
    own, sample = mortal[0], sample_process
    broker, database = own.private("rabbitmq"), own.private("postgres")
    await asyncio.gather(asyncio.to_thread(broker.kill), asyncio.to_thread(database.kill))
    try:
        await sample.until_ready(503)
        sample.terminate()
        assert await sample.ended(STOP_WITHIN_S) == 0
        # And it starts before they do.
        sample.start("serve")
        await sample.until_ready(503)
    finally:
        await asyncio.gather(asyncio.to_thread(broker.start), asyncio.to_thread(database.start))
    await sample.until_ready()
    assert await sample.write("back") == 201
    await eventually(lambda: asyncio.sleep(0, sample.logged("handled")), what="an echo")


async def test_pipelined_requests_share_neither_log_context_nor_trace(sample_process):
    sample = sample_process
    token = sample.headers(sample.organization_id, Role.STAFF)["Authorization"]
    _reader, writer = await asyncio.open_connection("127.0.0.1", sample.port)
    known = f"GET /sample/notes HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n"
    unknown = "GET /sample/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
    writer.write((known + unknown + unknown).encode())

    async def served():
        return len(sample.logged("request_served")) == 3

    await eventually(served, what="three answers")
    writer.close()
    await writer.wait_closed()
    first, *others = sample.logged("request_served")
    assert first["organization_id"] == str(sample.organization_id)
    for other in others:
        assert "organization_id" not in other
        assert "subject" not in other
    assert len({entry["trace_id"] for entry in (first, *others)}) == 3
