"""What the commands about deliveries ask and print; over real HTTP."""

import json

import pytest

DELIVERY = {
    "id": "d-1",
    "channel_id": "c-1",
    "provider": "shopify",
    "topic": "orders/create",
    "delivery_id": "w-1",
    "status": "dead_lettered",
    "cause": "unreadable_body",
    "detail": "Not JSON.\x1b[2J",
    "external_order_id": None,
    "order_id": None,
    "received_at": "2026-01-02T03:04:05Z",
    "settled_at": "2026-01-02T03:04:06Z",
    "body_bytes": 9,
    "spooled": False,
    "client": None,
    "left_out": 0,
    "replay_of": None,
    "trace_id": "t-1",
}


def done(**counts):
    return {
        "dry_run": False,
        "matched": 0,
        "replayed": 0,
        "under_way": 0,
        "without_body": 0,
        "next_cursor": None,
    } | counts


def test_deliveries_are_listed_with_filters(rappit, signed_in):
    rappit.answer("GET", "/channels/deliveries", {"items": [DELIVERY], "next_cursor": None})
    outcome = signed_in("deliveries", "list", "--status", "dead_lettered", "--topic", "orders/create", "--limit", "5")
    assert outcome.status == 0, outcome.err
    assert outcome.out.splitlines()[1].split() == [
        "2026-01-02T03:04:05Z",
        "dead_lettered",
        "unreadable_body",
        "orders/create",
        "-",
        "d-1",
    ]
    assert rappit.asked[0][1] == "/channels/deliveries?topic=orders%2Fcreate&status=dead_lettered&limit=5"


def test_delivery_is_shown_with_its_body_and_cannot_steer_the_terminal(rappit, signed_in):
    whole = {**DELIVERY, "headers": {"rappit-topic": "orders/create"}, "body": '{"a":\n\x1b', "body_encoding": "utf-8"}
    rappit.answer("GET", "/channels/deliveries/d-1", whole)
    outcome = signed_in("deliveries", "show", "d-1")
    assert "Not JSON." in outcome.out
    assert '{"a":\n' in outcome.out
    assert "\x1b" not in outcome.out
    assert json.loads(signed_in("deliveries", "show", "d-1", "--json").out) == whole


def test_body_that_is_not_kept_is_not_printed(rappit, signed_in):
    rappit.answer("GET", "/channels/deliveries/d-1", {**DELIVERY, "headers": None, "body": None, "body_encoding": None})
    assert "Body (" not in signed_in("deliveries", "show", "d-1").out


def test_each_id_runs_again(rappit, signed_in):
    rappit.answer("POST", "/channels/deliveries/d-1/replay", {**DELIVERY, "id": "r-1"})
    outcome = signed_in("deliveries", "replay", "d-1", "--reason", "asked")
    assert outcome.out == "d-1 runs again as r-1.\n"
    assert json.loads(rappit.asked[0][2]) == {"reason": "asked"}


def test_filtered_set_runs_again_part_by_part(rappit, signed_in):
    rappit.answer(
        "POST", "/channels/deliveries/replays", done(matched=1000, replayed=990, under_way=10, next_cursor="n")
    )
    rappit.answer("POST", "/channels/deliveries/replays", done(matched=5, replayed=3, without_body=2))
    outcome = signed_in("deliveries", "replay", "--status", "dead_lettered", "--cause", "bug")
    assert outcome.status == 0, outcome.err
    assert outcome.out == (
        "993 of 1005 deliveries run again; 10 are under way already, the bodies of 2 are not kept any more.\n"
    )
    bodies = [json.loads(request[2]) for request in rappit.asked]
    assert [body["cursor"] for body in bodies] == [None, "n"]
    assert bodies[0]["filter"] == {"status": ["dead_lettered"], "cause": "bug"}


def test_dry_run_says_what_would_run(rappit, signed_in):
    rappit.answer("POST", "/channels/deliveries/replays", done(matched=2, replayed=2))
    outcome = signed_in("deliveries", "replay", "--topic", "orders/create", "--dry-run")
    assert outcome.out.startswith("2 of 2 deliveries would run again")
    assert json.loads(rappit.asked[0][2])["dry_run"] is True


@pytest.mark.parametrize("arguments", [(), ("d-1", "--status", "applied"), ("d-1", "--dry-run")])
def test_unclear_wish_is_refused_before_anything_is_asked(rappit, signed_in, arguments):
    outcome = signed_in("deliveries", "replay", *arguments)
    assert outcome.status == 1
    assert rappit.asked == []
