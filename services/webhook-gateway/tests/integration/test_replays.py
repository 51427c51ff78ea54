"""A delivery runs again as often as a merchant wants, under ids of its own, and never twice for one wish."""

import asyncio

import asyncpg
import pytest
from gateway_testkit import merchant_of
from rappit_common.clock import new_id
from rappit_common.testing.waiting import eventually
from rappit_gateway.service import deliveries as service

pytestmark = pytest.mark.server


async def replayed(merchant, message_id, **body):
    answer = await merchant.ask("POST", f"/{message_id}/replay", json=body or None)
    assert answer.status_code == 202, answer.text
    return answer.json()


@pytest.mark.parametrize("outcome", ["applied", "superseded", "dead_lettered"])
async def test_settled_delivery_is_sent_again_as_it_was_under_ids_of_its_own(gateway, received, outcome):
    merchant = await merchant_of(gateway)
    message_id = await merchant.deliver()
    first = await received.having(message_id)
    await merchant.shown(message_id)
    await merchant.settle(message_id, outcome, external_order_id="5551")
    before = await merchant.shown(message_id, status=outcome)
    replay = await replayed(merchant, message_id)
    assert (replay["status"], replay["replay_of"], replay["external_order_id"]) == ("accepted", message_id, "5551")
    again = await received.having(replay["id"])
    assert again.body == first.body
    assert (again.type, again.content_type) == (first.type, first.content_type)
    assert again.headers["rappit-dedupe-key"] == f"{first.headers['rappit-dedupe-key']}#replay-{replay['id']}"
    changed = {"rappit-dedupe-key", "traceparent"}
    assert {k: v for k, v in again.headers.items() if k not in changed} == {
        k: v for k, v in first.headers.items() if k not in changed
    }
    await merchant.settle(replay["id"], "superseded")
    shown = await merchant.shown(replay["id"], status="superseded")
    # The body is its original's, and the original's row stays as it was.
    assert shown["body"] == before["body"]
    assert await merchant.shown(message_id) == before


async def test_replay_under_way_is_answered_again_and_a_settled_one_anew(gateway, received):
    merchant = await merchant_of(gateway)
    message_id = await merchant.deliver()
    await merchant.shown(message_id)
    answers = await asyncio.gather(*(replayed(merchant, message_id) for _ in range(5)))
    (replay_id,) = {answer["id"] for answer in answers}
    # Of a replay it is the original that runs again, so this is under way too.
    assert (await replayed(merchant, replay_id))["id"] == replay_id
    await received.having(replay_id)
    assert received.count(replay_id) == 1
    await merchant.settle(replay_id, "applied")
    await merchant.shown(replay_id, status="applied")
    second = await replayed(merchant, replay_id)
    assert second["id"] != replay_id
    assert second["replay_of"] == message_id
    assert len(await merchant.listed()) == 3


async def test_rejected_delivery_is_refused_with_the_reason(gateway):
    merchant = await merchant_of(gateway)
    await merchant.forge()
    (row,) = await eventually(lambda: merchant.listed(status="rejected"))
    for path, body in ((f"/{row['id']}/replay", None), ("/replays", {"filter": {"status": ["rejected"]}})):
        answer = await merchant.ask("POST", path, json=body)
        assert (answer.status_code, answer.json()["code"]) == (409, "delivery_rejected")
        assert "nobody knows that the channel sent it" in answer.json()["detail"]
    answer = await merchant.ask("POST", "/replays", json={"filter": {"cause": "bad_signature"}})
    assert answer.json()["matched"] == 0


async def test_filtered_set_is_counted_then_run_once_and_replays_are_no_part_of_it(gateway, received):
    merchant = await merchant_of(gateway)
    ids = [await merchant.deliver() for _ in range(4)]
    for one in ids:
        await merchant.shown(one)
    for one in ids[:3]:
        await merchant.settle(one, "dead_lettered", error_type="bug")
        await merchant.shown(one, status="dead_lettered")
    wish = {"filter": {"status": ["dead_lettered"], "cause": "bug"}, "reason": "the bug is mended"}
    dry = (await merchant.ask("POST", "/replays", json={**wish, "dry_run": True})).json()
    assert (dry["dry_run"], dry["matched"], dry["replayed"], dry["more"]) == (True, 3, 3, False)
    assert len(await merchant.listed()) == 4
    done = (await merchant.ask("POST", "/replays", json=wish)).json()
    assert (done["matched"], done["replayed"], done["under_way"], done["next_cursor"]) == (3, 3, 0, None)
    replays = [row for row in await merchant.listed() if row["replay_of"]]
    assert sorted(row["replay_of"] for row in replays) == sorted(ids[:3])
    for row in replays:
        await received.having(row["id"])
        await merchant.settle(row["id"], "dead_lettered", error_type="bug")
    again = (await merchant.ask("POST", "/replays", json=wish)).json()
    assert again["matched"] == 3


async def test_large_set_is_run_in_parts_that_follow_each_other(gateway, received, monkeypatch):
    monkeypatch.setattr(service, "MAX_REPLAYS", 2)
    merchant = await merchant_of(gateway)
    ids = [await merchant.deliver() for _ in range(5)]
    for one in ids:
        await merchant.shown(one)
    wish = {"filter": {"topic": "orders/create"}}
    counts, cursor = [], None
    while True:
        done = (await merchant.ask("POST", "/replays", json={**wish, "cursor": cursor})).json()
        counts.append((done["matched"], done["replayed"], done["more"]))
        cursor = done["next_cursor"]
        if cursor is None:
            break
    assert counts == [(2, 2, True), (2, 2, True), (1, 1, False)]
    assert sorted(row["replay_of"] for row in await merchant.listed() if row["replay_of"]) == sorted(ids)


async def test_one_call_copies_a_bounded_number_of_bytes(gateway, received, monkeypatch):
    monkeypatch.setattr(service, "MAX_REPLAY_BYTES", 150)
    merchant = await merchant_of(gateway)
    for _ in range(3):
        await merchant.shown(await merchant.deliver(note="x" * 100))
    done = (await merchant.ask("POST", "/replays", json={"filter": {"topic": "orders/create"}})).json()
    assert (done["matched"], done["more"]) == (1, True)


@pytest.mark.parametrize("wish", [{"filter": {}}, {"filter": {"status": []}}])
async def test_empty_filter_is_refused(gateway, wish):
    merchant = await merchant_of(gateway)
    answer = await merchant.ask("POST", "/replays", json=wish)
    assert (answer.status_code, answer.json()["code"]) == (422, "empty_filter")


async def test_who_ran_what_again_and_why_is_in_the_audit_log(sandbox, gateway, received):
    merchant = await merchant_of(gateway)
    message_id = await merchant.deliver()
    await merchant.shown(message_id)
    await replayed(merchant, message_id, reason="the shop asked")
    await merchant.ask("POST", "/replays", json={"filter": {"topic": "orders/create"}})
    connection = await asyncpg.connect(sandbox.admin_url)
    try:
        rows = await connection.fetch(
            "SELECT actor, action, reason FROM gateway.audit_log WHERE organization_id = $1", merchant.organization_id
        )
    finally:
        await connection.close()
    # The set held only what was under way already: nothing was done, so nothing is told of it.
    assert [tuple(row) for row in rows] == [("tester@example.com", "delivery.replay", "the shop asked")]


async def test_unknown_delivery_is_not_found(gateway):
    merchant = await merchant_of(gateway)
    answer = await merchant.ask("POST", f"/{new_id()}/replay")
    assert (answer.status_code, answer.json()["code"]) == (404, "delivery_not_found")
