"""The log keeps the newest within its bounds, loses no row to another's fault, and never more than it says."""

import asyncio

import pytest
from rappit_common.clock import new_id
from rappit_common.testing.waiting import eventually
from rappit_gateway.domain.channels import KnownChannel, Provider
from rappit_gateway.domain.signatures import BadSignatureError, Delivery
from rappit_gateway.repository.delivery_log import LogAwayError
from rappit_gateway.service import delivery_log
from rappit_gateway.service.acceptance import Accepted, VerifiedWebhook
from rappit_gateway.service.delivery_log import DeliveryLog, RejectedBudget

CHANNEL = KnownChannel(new_id(), new_id(), Provider.SHOPIFY, None, ())
REFUSAL = BadSignatureError("The signature does not fit.")


class Table:
    def __init__(self):
        self.rows = []
        self.is_away = False
        self.poison = None
        self.writes = 0

    async def write(self, rows):
        self.writes += 1
        if self.is_away:
            raise LogAwayError("away")
        if any(row.delivery_id == self.poison for row in rows):
            raise ValueError("no column takes this")
        self.rows += rows

    def ids(self):
        return [row.delivery_id for row in self.rows]


@pytest.fixture
def table():
    return Table()


@pytest.fixture
def clock():
    return [1_000.0]


@pytest.fixture
def log(table, clock):
    return DeliveryLog(
        table.write,
        new_id=new_id,
        monotonic=lambda: clock[0],
        wall_clock=lambda: 1_700_000_000.0,
        max_rows=10,
        max_bytes=100,
    )


def accept(log, *, body=b"{}"):
    webhook = VerifiedWebhook(
        channel=CHANNEL,
        delivery=Delivery("orders/create", "d-1", "shopify:d-1", "shop"),
        body=body,
        content_type="application/json",
        traceparent=f"00-{'a' * 32}-{'b' * 16}-01",
        received_at_s=1_700_000_000.5,
    )
    accepted = Accepted(new_id(), is_spooled=False)
    log.accepted(webhook, accepted)
    return accepted.message_id


def reject(log, channel=CHANNEL):
    log.rejected(channel, REFUSAL, client="10.0.0.1", announced_bytes=7, trace_id="c" * 32)


async def test_what_was_noted_is_written_together_when_it_stops(log, table):
    ids = [accept(log) for _ in range(5)]
    await log.stop()
    assert (table.ids(), table.writes) == (ids, 1)
    row = table.rows[0]
    assert (row.status, row.topic, row.body, row.trace_id) == ("accepted", "orders/create", b"{}", "a" * 32)
    assert row.headers["rappit-dedupe-key"] == row.dedupe_key == "shopify:d-1"


async def test_what_was_noted_is_written_soon(log, table):
    await log.start()
    expected = accept(log)
    await eventually(lambda: asyncio.sleep(0, table.ids() == [expected]))
    await log.stop()


async def test_newest_rows_are_kept_while_postgres_is_away(log, table, monkeypatch):
    monkeypatch.setattr(delivery_log, "RETRY_S", 0.01)
    table.is_away = True
    await log.start()
    ids = [accept(log) for _ in range(25)]
    await eventually(lambda: asyncio.sleep(0, table.writes > 2))
    newer = accept(log)
    table.is_away = False
    await eventually(lambda: asyncio.sleep(0, table.ids() == [*ids[-9:], newer]))
    await log.stop()


async def test_newest_bytes_are_kept(log, table):
    ids = [accept(log, body=b"x" * 40) for _ in range(5)]
    await log.stop()
    assert table.ids() == ids[-2:]


async def test_body_larger_than_all_that_is_kept_is_not_logged(log, table):
    accept(log, body=b"x" * 101)
    kept = accept(log)
    await log.stop()
    assert table.ids() == [kept]


async def test_faulty_row_takes_no_other_with_it(log, table):
    ids = [accept(log) for _ in range(4)]
    table.poison = ids[1]
    await log.stop()
    assert table.ids() == [ids[0], ids[2], ids[3]]


async def test_stop_ends_though_postgres_is_away(log, table):
    table.is_away = True
    await log.start()
    accept(log)
    async with asyncio.timeout(2):
        await log.stop()
    assert table.rows == []


async def test_rejected_deliveries_have_a_row_a_second_that_counts_the_others(log, table, clock):
    for _ in range(7):
        reject(log)
    clock[0] += 1
    reject(log)
    await log.stop()
    assert [(row.cause, row.left_out, row.body_bytes, row.client) for row in table.rows] == [
        ("bad_signature", 0, 7, "10.0.0.1"),
        ("bad_signature", 6, 7, "10.0.0.1"),
    ]
    assert {row.status for row in table.rows} == {"rejected"}


def test_a_noisy_channel_takes_no_row_from_another_and_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(delivery_log, "MAX_REMEMBERED_CHANNELS", 3)
    budget = RejectedBudget(lambda: 5.0)
    channels = [new_id() for _ in range(4)]
    assert [budget.take(channel) for channel in (channels[0], channels[0], channels[1])] == [0, None, 0]
    for channel in channels:
        budget.take(channel)
    assert len(budget._channels) == 3
