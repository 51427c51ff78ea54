"""What a service tells Prometheus of its messages."""

from datetime import timedelta

import pytest
from rappit_common.clock import new_id, utc_now
from rappit_common.database.engine import Database
from rappit_common.messaging import levels, tables
from rappit_common.messaging.levels import DEAD_LETTERS, OUTBOX_LAG, OUTBOX_UNSENT, Levels
from rappit_common.messaging.outbox import outbox_row
from rappit_common.metrics import Level, exposition
from rappit_common.testing.waiting import eventually
from rappit_sample.service import ECHO, NoteWritten, RefusedNoteError
from sqlalchemy import delete, func, insert, select

pytestmark = pytest.mark.server


async def told(sample, name, *labels):
    """Return a metric's value at /metrics, 0 when it is not there."""
    answer = await sample.http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    for line in answer.text.splitlines():
        if line.startswith(name) and all(label in line for label in labels):
            return float(line.rpartition(" ")[2])
    return 0.0


def of(outcome):
    return ("rappit_messages_total", f'queue="{ECHO.queue}"', f'outcome="{outcome}"')


async def write(sample, text):
    answer = await sample.http.post("/sample/notes", json={"text": text}, headers=sample.headers(new_id()))
    assert answer.status_code == 201


@pytest.mark.parametrize(
    ("failures", "expected"),
    [
        ([], {"handled": 1}),
        ([RuntimeError("once")], {"retried": 1, "handled": 1}),
        ([RefusedNoteError("no")], {"dead_lettered": 1}),
    ],
)
async def test_each_message_is_counted_by_what_became_of_it(sample, failures, expected):
    outcomes = ("handled", "retried", "dead_lettered", "returned")
    before = {outcome: await told(sample, *of(outcome)) for outcome in outcomes}
    timed = await told(sample, "rappit_message_duration_seconds_count", f'queue="{ECHO.queue}"', 'outcome="handled"')
    sample.scripted.failures[:] = failures
    await write(sample, "counted")

    async def counted():
        now = {outcome: await told(sample, *of(outcome)) for outcome in outcomes}
        return {outcome: now[outcome] - before[outcome] for outcome in outcomes if now[outcome] > before[outcome]}

    async def as_expected():
        return await counted() == expected

    await eventually(as_expected, what=f"{expected}")
    again = await told(sample, "rappit_message_duration_seconds_count", f'queue="{ECHO.queue}"', 'outcome="handled"')
    assert again - timed == expected.get("handled", 0)


async def test_outbox_lags_by_its_oldest_row_that_is_due(sample):
    look = Levels(sample.runtime.database, outbox=True).look
    running = sample.runtime.units._nudge.__self__
    await running.stop()
    key = f"test.{new_id()}"
    try:
        await look()
        idle = OUTBOX_UNSENT.value()
        event = NoteWritten(organization_id=new_id(), text="x")
        later = outbox_row(event) | {"routing_key": key, "available_at": utc_now() + timedelta(hours=1)}
        async with sample.runtime.database.engine.begin() as connection:
            await connection.execute(insert(tables.outbox), [later])
        await look()
        assert (OUTBOX_UNSENT.value(), OUTBOX_LAG.value()) == (idle + 1, 0)
        due = outbox_row(event) | {"routing_key": key, "available_at": utc_now() - timedelta(seconds=90)}
        async with sample.runtime.database.engine.begin() as connection:
            await connection.execute(insert(tables.outbox), [due])
        await look()
        assert OUTBOX_UNSENT.value() == idle + 2
        assert 90 <= OUTBOX_LAG.value() < 120
        assert await told(sample, "rappit_outbox_lag_seconds") == OUTBOX_LAG.value()
    finally:
        async with sample.runtime.database.engine.begin() as connection:
            await connection.execute(delete(tables.outbox).where(tables.outbox.c.routing_key == key))
        await running.start()


async def test_dead_letters_are_told_by_queue_with_zero_where_there_are_none(sample):
    part = Levels(sample.runtime.database, queues=(ECHO.queue, "sample.quiet"))

    async def as_counted():
        async with sample.runtime.database.engine.connect() as connection:
            query = select(func.count()).where(
                tables.dead_letters.c.queue == ECHO.queue, tables.dead_letters.c.status == "dead"
            )
            dead = (await connection.execute(query)).scalar_one()
        await part.look()
        assert DEAD_LETTERS.value(queue=ECHO.queue) == dead
        assert await told(sample, "rappit_dead_letters", f'queue="{ECHO.queue}"') == dead
        assert DEAD_LETTERS.value(queue="sample.quiet") == 0
        return True

    # What another test has poisoned may still be on its way into the table, between our count and the look.
    await eventually(as_counted, what="the dead letters to be told as they are counted")


async def test_unknown_levels_are_not_told_rather_than_told_as_they_were(sample, monkeypatch):
    monkeypatch.setattr(levels, "LOOK_EVERY_S", 0.01)
    OUTBOX_LAG.set(5)
    away = Database(sample.settings.database_url, schema="no_such_schema")
    part = Levels(away, outbox=True)
    await part.start()

    async def silent():
        return OUTBOX_LAG.value() is None and b"rappit_outbox_lag" not in exposition()[0]

    await eventually(silent, what="the lag to be unknown")
    await part.stop()
    await away.close()


def test_level_is_told_again_and_again():
    level = Level("test.level", unit="s", description="Of this test.")
    level.set(3, queue="a")
    assert [b'test_level_seconds{queue="a"} 3.0' in exposition()[0] for _ in range(2)] == [True, True]
