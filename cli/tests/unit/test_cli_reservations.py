import json

import pytest

HEAD = {
    "order_id": "o-1",
    "order_version": 1,
    "reservation_version": 1,
    "status": "backordered",
    "reason": "insufficient_stock",
    "allocations": [{"sku": "A", "warehouse_code": "BER", "quantity": 2}],
    "shortages": [{"sku": "A", "requested": 5, "available": 2}],
    "priority": 100,
    "waiting_since": "2026-11-25T10:00:00Z",
    "released_by": None,
    "released_reason": None,
    "updated_at": "2026-11-25T10:00:00Z",
}
WHOLE = {
    **HEAD,
    "message": "Reserved in part: SKU A needs 5, 2 available.",
    "lines": [{"sku": "A", "quantity": 5}],
    "unknown_skus": [],
    "country_code": "DE",
    "postal_code": "20095",
    "steps": [{"at": "2026-11-25T11:00:00Z", "actor": "anna", "action": "resumed", "reason": "paid", "detail": {}}],
}


def test_reservations_are_listed_by_what_they_hold_and_lack(rappit, signed_in):
    rappit.answer("GET", "/inventory/reservations", {"items": [HEAD], "next_cursor": None})
    outcome = signed_in("inventory", "reservations", "list", "--sku", "A", "--waiting", "--warehouse", "BER")
    cells = ["backordered", "2", "A", "(2", "of", "5)", "100", "2026-11-25T10:00:00Z", "-", "o-1"]
    assert outcome.out.splitlines()[1].split() == cells
    assert [request[1] for request in rappit.asked] == [
        "/inventory/reservations?sku=A&warehouse_code=BER&waiting=true&limit=50"
    ]
    assert json.loads(signed_in("inventory", "reservations", "list", "--json").out)["items"] == [HEAD]


def test_a_reservation_is_shown_with_what_people_did(rappit, signed_in):
    rappit.answer("GET", "/inventory/reservations/o-1", WHOLE)
    out = signed_in("inventory", "reservations", "show", "o-1").out
    assert "Reserved in part: SKU A needs 5, 2 available." in out
    assert ["A", "BER", "2"] in [line.split() for line in out.splitlines()]
    assert ["2026-11-25T11:00:00Z", "anna", "resumed", "paid"] in [line.split() for line in out.splitlines()]
    assert json.loads(signed_in("inventory", "reservations", "show", "o-1", "--json").out) == WHOLE


@pytest.mark.parametrize(
    ("command", "act", "body"),
    [
        (["priority", "o-1", "10"], "priority", {"priority": 10, "reason": None}),
        (["release", "o-1", "--reason", "no pay"], "release", {"reason": "no pay"}),
        (["resume", "o-1", "--reason", "paid"], "resume", {"reason": "paid"}),
        (
            ["move", "o-1", "--sku", "A", "--quantity", "2", "--from", "BER", "--to", "LYS"],
            "move",
            {"sku": "A", "from_warehouse_code": "BER", "to_warehouse_code": "LYS", "quantity": 2, "reason": None},
        ),
    ],
)
def test_what_is_done_is_sent_and_the_reservation_shown(rappit, signed_in, command, act, body):
    rappit.answer("POST", f"/inventory/reservations/o-1/{act}", WHOLE)
    outcome = signed_in("inventory", "reservations", *command)
    assert (outcome.status, "Reserved in part" in outcome.out) == (0, True)
    [(_, _, sent, _)] = rappit.requests("POST", f"/inventory/reservations/o-1/{act}")
    assert json.loads(sent) == body


def test_a_release_without_a_reason_is_misuse(signed_in):
    assert signed_in("inventory", "reservations", "release", "o-1").status == 2


def test_a_refused_move_says_what_there_is(rappit, signed_in):
    detail = "Insufficient stock for SKU A: 3 requested, 1 available in LYS."
    rappit.answer("POST", "/inventory/reservations/o-1/move", {"code": "insufficient_stock", "detail": detail}, 409)
    command = ["move", "o-1", "--sku", "A", "--quantity", "3", "--from", "BER", "--to", "LYS"]
    outcome = signed_in("inventory", "reservations", *command)
    assert (outcome.status, outcome.err) == (1, f"{detail}\n")
