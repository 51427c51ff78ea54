"""Holds from the command line."""

import json

HOLD = {
    "id": "h-1",
    "kind": "manual",
    "state": "active",
    "lines": [{"sku": "A", "warehouse_code": "M", "quantity": 2}, {"sku": "B", "warehouse_code": "M", "quantity": 1}],
    "reason": "fair",
    "created_by": "ann@example.com",
    "created_at": "2026-01-02T03:04:05Z",
    "expires_at": None,
    "ended_at": None,
    "order_id": None,
}


def test_holds_are_listed_with_their_units(rappit, signed_in):
    rappit.answer("GET", "/inventory/holds", {"items": [HOLD], "next_cursor": None})
    out = signed_in("inventory", "holds", "list", "--state", "active", "--sku", "A").out
    assert out.splitlines()[0].split() == ["KIND", "STATE", "UNITS", "EXPIRES", "REASON", "BY", "ID"]
    assert "2 A in M, 1 B in M" in out
    assert [request[1] for request in rappit.asked] == ["/inventory/holds?state=active&sku=A&limit=50"]


def test_hold_is_created_under_a_key_of_its_own(rappit, signed_in):
    rappit.answer("POST", "/inventory/holds", HOLD, 201)
    create = ("inventory", "holds", "create", "A=2", "B=1", "--reason", "fair")
    outcome = signed_in(*create)
    assert outcome.status == 0, outcome.err
    assert outcome.out.splitlines()[0] == "2 A in M, 1 B in M: active."
    rappit.answer("POST", "/inventory/holds", HOLD, 201)
    assert json.loads(signed_in(*create, "--expires-in", "3600", "--warehouse", "M", "--json").out) == HOLD
    (_, _, first, headers), (_, _, second, others) = rappit.requests("POST", "/inventory/holds")
    assert json.loads(first) == {
        "kind": "manual",
        "lines": [{"sku": "A", "quantity": 2}, {"sku": "B", "quantity": 1}],
        "warehouse_code": None,
        "expires_in_s": None,
        "reason": "fair",
    }
    assert (json.loads(second)["expires_in_s"], json.loads(second)["warehouse_code"]) == (3600, "M")
    assert headers["idempotency-key"] != others["idempotency-key"]


def test_line_that_is_none_is_misuse(signed_in):
    for line in ("A", "A=", "A=x", "A=-1"):
        outcome = signed_in("inventory", "holds", "create", line)
        assert outcome.status == 2
        assert "SKU=QUANTITY" in outcome.err


def test_hold_is_extended_and_released(rappit, signed_in):
    rappit.answer("POST", "/inventory/holds/h-1/extend", {**HOLD, "expires_at": "2026-01-02T04:04:05Z"})
    assert "2026-01-02T04:04:05Z" in signed_in("inventory", "holds", "extend", "h-1", "--expires-in", "3600").out
    rappit.answer("POST", "/inventory/holds/h-1/release", {**HOLD, "state": "released"})
    assert signed_in("inventory", "holds", "release", "h-1").out.splitlines()[0].endswith(": released.")
    [(_, _, body, _)] = rappit.requests("POST", "/inventory/holds/h-1/extend")
    assert json.loads(body) == {"expires_in_s": 3600}
