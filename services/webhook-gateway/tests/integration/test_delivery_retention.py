"""The log is kept to its time, bodies to a shorter one, and a channel's rejected deliveries to a number."""

from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio
from gateway_testkit import merchant_of
from rappit_common.clock import new_id, utc_now
from rappit_common.testing.waiting import eventually
from rappit_gateway.repository import delivery_retention
from rappit_gateway.service import delivery_purge
from rappit_gateway.service.delivery_purge import DeliveryPurge

pytestmark = pytest.mark.server


@pytest.fixture
def purge(gateway):
    units = gateway.endpoint._app._app._app.state.units

    def of(later):
        return DeliveryPurge(
            units, now=lambda: utc_now() + later, keep=timedelta(days=30), keep_bodies=timedelta(days=7)
        )

    return of


@pytest_asyncio.fixture
async def database(sandbox):
    connection = await asyncpg.connect(sandbox.admin_url)
    yield connection
    await connection.close()


async def test_bodies_go_first_and_rows_later(gateway, received, purge):
    merchant = await merchant_of(gateway)
    message_id = await merchant.deliver()
    assert (await merchant.shown(message_id))["body"]
    await purge(timedelta(days=6)).act()
    assert (await merchant.shown(message_id))["body"]
    await purge(timedelta(days=8)).act()
    shown = await merchant.shown(message_id)
    assert (shown["body"], shown["headers"]) == (None, None)
    answer = await merchant.ask("POST", f"/{message_id}/replay")
    assert (answer.status_code, answer.json()["code"]) == (409, "delivery_body_gone")
    done = await merchant.ask("POST", "/replays", json={"filter": {"topic": "orders/create"}})
    assert (done.json()["replayed"], done.json()["without_body"]) == (0, 1)
    await purge(timedelta(days=31)).act()
    assert await merchant.listed() == []


async def test_more_than_a_statement_removes_goes_too(gateway, received, purge, monkeypatch):
    for module in (delivery_retention, delivery_purge):
        monkeypatch.setattr(module, "PURGE_ROWS", 2)
    merchant = await merchant_of(gateway)
    for _ in range(5):
        await merchant.shown(await merchant.deliver())
    await purge(timedelta(days=31)).act()
    assert await merchant.listed() == []


async def test_newest_rejected_deliveries_of_each_channel_are_kept(gateway, purge, database, monkeypatch):
    monkeypatch.setattr(delivery_retention, "KEEP_REJECTED_ROWS", 3)
    noisy, quiet = await merchant_of(gateway), await merchant_of(gateway)
    await quiet.forge()
    await eventually(lambda: quiet.listed(status="rejected"))
    ids = [new_id() for _ in range(8)]
    await database.executemany(
        "INSERT INTO gateway.webhook_deliveries (id, organization_id, channel_id, provider, topic, delivery_id, status,"
        " received_at, spooled, left_out) VALUES ($1, $2, $3, 'shopify', '', '', 'rejected', now(), false, 0)",
        [(one, noisy.organization_id, UUID(noisy.channel["id"])) for one in ids],
    )
    await purge(timedelta()).act()
    assert [row["id"] for row in await noisy.listed()] == [str(one) for one in ids[:-4:-1]]
    assert len(await quiet.listed()) == 1
