"""The spool writes together what arrives together, and lets no row suffer for another's fault."""

import asyncio
import time

import asyncpg
import pytest
import pytest_asyncio
from gateway_testkit import gateway_settings, linked
from pydantic import SecretStr
from rappit_common.clock import new_id
from rappit_common.testing.servers import Sandbox
from rappit_common.testing.waiting import eventually
from rappit_gateway.repository.spool import Spool, SpoolAwayError

pytestmark = pytest.mark.server


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sandbox(servers):
    """Apart from the other tests', whose gateway would relay what is spooled here."""
    made = Sandbox(servers, "test_spool")
    await made.create()
    yield made
    await made.drop()


@pytest_asyncio.fixture
async def spool(sandbox):
    settings = await gateway_settings(sandbox)
    made = Spool(settings.database_url, schema="gateway", connections=1, timeout_s=2)
    await made.start()
    yield made
    await made.stop()


def put(spool, message_id, **changes):
    given = {
        "organization_id": new_id(),
        "event": "gateway.webhook-received.v1",
        "exchange": "rappit.events",
        "content_type": "application/octet-stream",
        "headers": {"rappit-topic": "orders/create"},
        "body": b"\x00raw\xff",
    }
    return spool.put(message_id, **{**given, **changes})


async def rows(sandbox, ids):
    connection = await asyncpg.connect(sandbox.admin_url)
    try:
        found = await connection.fetch(
            "SELECT *, xmin::text AS transaction FROM gateway.outbox WHERE id = ANY($1)", ids
        )
        return {row["id"]: row for row in found}
    finally:
        await connection.close()


async def test_many_at_once_are_all_written_in_few_transactions(spool, sandbox):
    ids = [new_id() for _ in range(200)]
    await asyncio.gather(*(put(spool, message_id) for message_id in ids))
    found = await rows(sandbox, ids)
    assert set(found) == set(ids)
    assert len({row["transaction"] for row in found.values()}) < 20
    row = found[ids[0]]
    assert (row["body"], row["message_id"], row["routing_key"]) == (b"\x00raw\xff", str(ids[0]), row["event"])
    assert (row["mandatory"], row["sent_at"]) == (True, None)


async def test_a_row_that_cannot_be_written_fails_alone(spool, sandbox):
    good = [new_id() for _ in range(5)]
    bad = new_id()
    # JSONB holds no NUL; HTTP lets none through either.
    results = await asyncio.gather(
        *(put(spool, message_id) for message_id in good[:3]),
        put(spool, bad, headers={"rappit-topic": "\x00"}),
        *(put(spool, message_id) for message_id in good[3:]),
        return_exceptions=True,
    )
    assert [type(result) for result in results].count(SpoolAwayError) == 1
    assert set(await rows(sandbox, [*good, bad])) == set(good)


async def test_a_row_that_arrives_as_the_writer_ends_is_written(spool, sandbox):
    ids = [new_id() for _ in range(50)]
    for message_id in ids:
        await put(spool, message_id)
    assert set(await rows(sandbox, ids)) == set(ids)


async def test_repeating_an_id_changes_nothing(spool, sandbox):
    message_id = new_id()
    await put(spool, message_id, body=b"first")
    await put(spool, message_id, body=b"second")
    assert (await rows(sandbox, [message_id]))[message_id]["body"] == b"first"


async def test_lock_that_does_not_go_away_is_an_answer_in_time(sandbox):
    settings = await gateway_settings(sandbox)
    spool = Spool(settings.database_url, schema="gateway", connections=1, timeout_s=0.3)
    await spool.start()
    blocker = await asyncpg.connect(sandbox.admin_url)
    try:
        async with blocker.transaction():
            await blocker.execute("LOCK TABLE gateway.outbox IN ACCESS EXCLUSIVE MODE")
            started = asyncio.get_running_loop().time()
            results = await asyncio.gather(*(put(spool, new_id()) for _ in range(3)), return_exceptions=True)
            assert [type(result) for result in results] == [SpoolAwayError] * 3
            assert asyncio.get_running_loop().time() - started < 2
        written = new_id()
        await put(spool, written)
        assert written in await rows(sandbox, [written])
    finally:
        await blocker.close()
        await spool.stop()


async def test_what_waits_while_the_server_hangs_is_forgotten_and_writing_goes_on_over_a_new_connection(sandbox):
    await gateway_settings(sandbox)
    link, url = await linked(sandbox.urls("gateway").runtime_url)
    spool = Spool(SecretStr(url), schema="gateway", connections=1, timeout_s=3)
    await spool.start()
    try:
        await put(spool, new_id())
        link.go_deaf()
        began_s = time.monotonic()
        failed = await asyncio.gather(*(put(spool, new_id(), within_s=0.2) for _ in range(200)), return_exceptions=True)
        assert time.monotonic() - began_s < 2.5
        assert {type(error) for error in failed} == {SpoolAwayError}
        assert not spool._waiting
        link.leave_deaf()

        async def written():
            try:
                await put(spool, new_id())
            except SpoolAwayError:
                return False
            return True

        await eventually(written, within_s=10)
    finally:
        await spool.stop()
        await link.cut()
