"""Lists stay right while orders arrive, and cheap however many there are."""

import json

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from orders_payloads import shopify_order
from rappit_common.clock import new_id
from rappit_common.database.engine import asyncpg_url
from rappit_orders.domain.lifecycle import OrderState
from rappit_orders.models import STATES, OrderRow, OrdersBase
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

pytestmark = pytest.mark.server

MANY = 20_000


async def pages(shop, **params):
    found, cursor = [], None
    while True:
        answer = await shop.get("/orders", **params, **({"cursor": cursor} if cursor else {}))
        assert answer.status_code == 200, answer.text
        body = answer.json()
        found.append([row["external_order_id"] for row in body["items"]])
        cursor = body["next_cursor"]
        if cursor is None:
            return found


async def place(shop, *order_ids):
    for order_id in order_ids:
        await shop.deliver("orders/create", shopify_order(order_id))
        await shop.order_when(order_id)


async def test_pages_follow_each_other_newest_first(shop):
    await place(shop, *range(1, 6))
    assert await pages(shop, limit=2) == [["5", "4"], ["3", "2"], ["1"]]
    assert await pages(shop, limit=5) == [["5", "4", "3", "2", "1"]]


async def test_orders_that_arrive_meanwhile_shift_no_page(shop):
    await place(shop, 1, 2, 3)
    first = (await shop.get("/orders", limit=2)).json()
    await place(shop, 4)
    second = (await shop.get("/orders", limit=2, cursor=first["next_cursor"])).json()
    assert [row["external_order_id"] for row in second["items"]] == ["1"]


async def test_filters_narrow_and_combine(shop):
    await place(shop, 1, 2)
    await shop.deliver("orders/cancelled", shopify_order(1, updated_at="2026-11-21T00:00:00Z"))
    await shop.order_when(1, state="cancelled")
    assert [row["external_order_id"] for row in await shop.listed(state="cancelled")] == ["1"]
    assert [row["external_order_id"] for row in await shop.listed(state="received", channel_id=shop.channel_id)] == [
        "2"
    ]
    assert await shop.listed(channel_id=new_id()) == []
    assert await shop.listed(external_order_id="1", state="received") == []


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"cursor": "nonsense"}, "invalid_cursor"),
        ({"cursor": "WyJub3QtYS11dWlkIl0"}, "invalid_cursor"),
        ({"limit": 201}, "validation_error"),
        ({"state": "lost"}, "validation_error"),
    ],
)
async def test_what_no_list_understands_is_refused(shop, params, code):
    answer = await shop.get("/orders", **params)
    assert (answer.status_code, answer.json()["code"]) == (422, code)


@pytest.fixture(scope="module")
async def crowded(orders):
    """An organization with many orders, beside one with as many, so that no statistics make a scan look cheap."""
    ours, channel = new_id(), new_id()
    copied = [column.name for column in OrderRow.__table__.columns]
    made = {
        "id": "gen_random_uuid()",
        "organization_id": "CASE n % 2 WHEN 0 THEN CAST(:ours AS uuid) ELSE CAST(:theirs AS uuid) END",
        "channel_id": "CASE n % 4 WHEN 0 THEN CAST(:channel AS uuid) ELSE gen_random_uuid() END",
        "external_order_id": "'X-' || n",
        "state": "CASE n % 4 WHEN 0 THEN 'on_hold' ELSE 'reserved' END",
    }
    plain = {
        "number": "'#1'",
        "payment_state": "'paid'",
        "order_version": "1",
        "state_version": "1",
        "currency": "'EUR'",
        "total": "1",
        "placed_at": "now()",
        "created_at": "now()",
        "updated_at": "now()",
        "lines": "'[]'",
        "demand": "'[]'",
        "reservation": "'{}'",
        "shipments": "'[]'",
        "channel_cancelled": "false",
        "merchant_cancelled": "false",
    }
    values = ", ".join({**plain, **made}.get(name, "NULL") for name in copied)
    async with orders.runtime.units.bypass_tenancy("a test fills the table") as unit:
        await unit.session.execute(
            text(f"INSERT INTO orders ({', '.join(copied)}) SELECT {values} FROM generate_series(1, :many) n"),  # noqa: S608
            {"ours": ours, "theirs": new_id(), "channel": channel, "many": MANY},
        )
    return ours, channel


@pytest.mark.parametrize("filters", ["", "state", "channel", "channel state", "external", "cursor", "state cursor"])
async def test_no_list_scans_or_sorts_the_table(orders, sandbox, crowded, filters):
    ours, channel = crowded
    conditions = {
        "state": "state = 'on_hold'",
        "channel": f"channel_id = '{channel}'",
        "external": "external_order_id = 'X-2000'",
        "cursor": "id < '80000000-0000-7000-8000-000000000000'",
    }
    where = " AND ".join([f"organization_id = '{ours}'", *(conditions[name] for name in filters.split())])
    owner = create_async_engine(asyncpg_url(sandbox.urls("orders").owner_url))
    async with owner.begin() as connection:
        await connection.execute(text("ANALYZE orders.orders"))
    await owner.dispose()
    async with orders.runtime.units.begin(ours) as unit:
        explained = await unit.session.execute(
            text(f"EXPLAIN (FORMAT JSON) SELECT id, number FROM orders WHERE {where} ORDER BY id DESC LIMIT 51")  # noqa: S608
        )
        plan = json.dumps(explained.scalar_one())
    assert "Index" in plan
    assert '"Seq Scan"' not in plan
    assert '"Sort"' not in plan, plan


async def test_the_models_are_the_migrated_tables(sandbox, orders):
    engine = create_async_engine(
        asyncpg_url(sandbox.urls("orders").owner_url), connect_args={"server_settings": {"search_path": "orders"}}
    )

    def difference(connection):
        ours = set(OrdersBase.metadata.tables)
        options = {
            "compare_type": True,
            "include_object": lambda _o, name, kind, _r, _c: kind != "table" or name in ours,
        }
        return compare_metadata(MigrationContext.configure(connection, opts=options), OrdersBase.metadata)

    async with engine.connect() as connection:
        assert await connection.run_sync(difference) == []
        checks = await connection.execute(
            text("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'ck_orders_state_known'")
        )
        assert all(f"'{state}'" in checks_of for checks_of in checks.scalars() for state in STATES)
    await engine.dispose()
    assert set(STATES) == set(OrderState)


async def test_the_documents_declare_every_refusal(orders):
    paths = (await orders.http.get("/orders/openapi.json")).json()["paths"]
    assert set(paths["/orders/{order_id}/cancel"]["post"]["responses"]) >= {"200", "401", "403", "404", "409", "422"}
    assert paths["/orders"]["get"]["description"]
    assert (await orders.http.get("/orders/docs")).status_code == 200
    messages = (await orders.http.get("/orders/ops/asyncapi.json")).json()["operations"]
    assert {"orders.order-placed.v1", "orders.order-changed.v1", "orders.order-cancelled.v1"} <= set(messages)
