"""What the commands ask and print; over real HTTP."""

import hashlib
import json

import pytest

ORDER = {
    "id": "o-1",
    "number": "#1001",
    "state": "backordered",
    "payment_state": "paid",
    "total": "19.90",
    "currency": "EUR",
    "external_order_id": "5551",
    "placed_at": "2026-01-02T03:04:05Z",
    "hold": {"reason": "insufficient_stock", "message": "Insufficient stock: SKU A needs 5, 2 available."},
    "lines": [{"sku": "A", "name": "Lamp [bold]red[/]\x1b[2J", "quantity": 5, "unit_price": "3.98"}],
    "shortages": [{"sku": "A", "requested": 5, "available": 2}],
    "timeline": [{"at": "2026-01-02T03:04:06Z", "kind": "received", "message": "Order received.", "actor": None}],
}
IMPORTED = {
    "total": 3,
    "succeeded": 2,
    "failed": 1,
    "created": 0,
    "updated": 1,
    "unchanged": 1,
    "applied": True,
    "warnings": [],
    "import_id": "i-1",
    "duration_ms": 12,
    "errors": [{"line": 3, "field": "quantity", "code": "not_a_number", "message": "quantity must be …", "value": "x"}],
}


def page(*items, next_cursor=None):
    return {"items": list(items), "next_cursor": next_cursor}


def test_orders_are_listed_with_filters_over_pages(rappit, signed_in):
    rappit.answer("GET", "/orders", page(ORDER, next_cursor="c2"))
    rappit.answer("GET", "/orders", page({**ORDER, "number": "#1002"}))
    outcome = signed_in("orders", "list", "--state", "backordered", "--limit", "200")
    assert outcome.status == 0, outcome.err
    lines = outcome.out.splitlines()
    assert lines[0].split() == ["NUMBER", "STATE", "PAYMENT", "TOTAL", "PLACED", "SHOP'S", "ID", "ID"]
    assert lines[1].split() == ["#1001", "backordered", "paid", "19.90", "EUR", "2026-01-02T03:04:05Z", "5551", "o-1"]
    assert lines[2].startswith("#1002")
    assert [request[1] for request in rappit.asked] == [
        "/orders?state=backordered&limit=200",
        "/orders?state=backordered&limit=199&cursor=c2",
    ]
    assert outcome.err == ""


def test_a_list_that_goes_on_says_so(rappit, signed_in):
    rappit.answer("GET", "/orders", page(ORDER, next_cursor="c2"))
    outcome = signed_in("orders", "list", "--limit", "1")
    assert (len(outcome.out.splitlines()), outcome.err) == (2, "There is more: raise --limit.\n")
    listed = json.loads(signed_in("orders", "list", "--limit", "1", "--json").out)
    assert listed == page(ORDER, next_cursor="c2")


def test_order_is_shown_whole_and_cannot_steer_the_terminal(rappit, signed_in):
    rappit.answer("GET", "/orders/o-1", ORDER)
    outcome = signed_in("orders", "show", "o-1")
    assert "Insufficient stock: SKU A needs 5, 2 available." in outcome.out
    assert "Lamp [bold]red[/] [2J" in outcome.out
    assert "\x1b" not in outcome.out
    assert "Order received." in outcome.out
    assert json.loads(signed_in("orders", "show", "o-1", "--json").out) == ORDER


def test_refusal_shows_the_exact_detail(rappit, signed_in):
    detail = "The order [1] is cancelled: nothing can be changed."
    rappit.answer("GET", "/orders/o-1", {"code": "order_cancelled", "detail": detail}, 409)
    outcome = signed_in("orders", "show", "o-1")
    assert (outcome.status, outcome.out, outcome.err) == (1, "", f"{detail}\n")


def test_an_answer_that_is_no_problem_is_shown_as_it_is(rappit, signed_in):
    rappit.answer("GET", "/orders/o-1", "upstream\nfailed", 502)
    outcome = signed_in("orders", "show", "o-1")
    assert outcome.status == 1
    assert outcome.err == f'{rappit.url}/orders/o-1 answered 502 Bad Gateway: "upstream\\nfailed"\n'


def test_what_was_typed_stays_one_segment(rappit, signed_in):
    assert signed_in("orders", "show", "../auth/me?x=1").status == 1
    assert rappit.requests("GET", "/auth/me") == []


def test_import_sends_the_file_and_shows_failed_rows(rappit, signed_in, tmp_path):
    file = tmp_path / "stock.csv"
    file.write_bytes(b"sku,quantity,warehouse_code\nA,1,M\nB,x,M\n")
    rappit.answer("POST", "/inventory/bulk", IMPORTED)
    outcome = signed_in("inventory", "import", str(file))
    assert outcome.status == 1
    assert outcome.out.splitlines()[0] == "3 rows: 2 succeeded (0 created, 1 updated, 1 unchanged), 1 failed, in 12 ms."
    assert outcome.out.splitlines()[-1].split() == ["3", "quantity", "x", "quantity", "must", "be", "…", "not_a_number"]
    [(_, _, body, headers)] = rappit.requests("POST", "/inventory/bulk")
    assert (body, headers["content-type"]) == (file.read_bytes(), "text/csv")


def test_import_is_sent_whole_again_after_a_refresh(rappit, signed_in, tmp_path):
    file = tmp_path / "stock.csv"
    file.write_bytes(b"sku,quantity,warehouse_code\n" + b"A,1,M\n" * 50_000)
    rappit.answer("POST", "/inventory/bulk", {**IMPORTED, "failed": 0, "errors": []})
    rappit.access_token = "another, since the first ran out"
    assert signed_in("inventory", "import", str(file)).status == 0
    [(_, _, body, _)] = rappit.requests("POST", "/inventory/bulk")
    assert body == file.read_bytes()


RIGHT = {"total": 10, "reserved": 0, "damaged": 0, "quarantined": 0}
DRIFT = {"sku": "A", "warehouse_code": "M", "found": {**RIGHT, "total": 12}, "expected": RIGHT}
VERIFIED = {"levels": 3, "found": 1, "drifts": [DRIFT], "repaired": 0, "unrepairable": [], "next_cursor": None}


def test_verification_shows_what_differs_and_ends_with_1(rappit, signed_in):
    rappit.answer("POST", "/inventory/verifications", VERIFIED)
    outcome = signed_in("inventory", "verify", "--sku", "A")
    assert outcome.status == 1
    assert outcome.out.splitlines()[0] == "3 levels: 1 differ, 0 repaired."
    assert outcome.out.splitlines()[-1].split() == ["A", "M", "12", "10", "0", "0", "0", "0", "0", "0"]
    [(_, _, body, _)] = rappit.requests("POST", "/inventory/verifications")
    assert json.loads(body) == {
        "skus": ["A"],
        "repair": False,
        "reason": "requested with the command line",
        "cursor": None,
    }


def test_repair_ends_well_when_nothing_is_left(rappit, signed_in):
    rappit.answer("POST", "/inventory/verifications", {**VERIFIED, "repaired": 1})
    assert signed_in("inventory", "verify", "--repair", "--reason", "restored").status == 0
    [(_, _, body, _)] = rappit.requests("POST", "/inventory/verifications")
    assert json.loads(body) == {"skus": None, "repair": True, "reason": "restored", "cursor": None}


def test_import_asks_as_it_was_told_and_keeps_what_failed(rappit, signed_in, tmp_path):
    file, errors = tmp_path / "stock.csv", tmp_path / "errors.csv"
    file.write_bytes(b"sku,quantity,warehouse_code\n")
    path = "/inventory/bulk?mode=add&on_error=reject_all&dry_run=true&create_missing_skus=true"
    rappit.answer("POST", "/inventory/bulk", {**IMPORTED, "applied": False, "warnings": ["Seen before."]})
    rappit.answer("GET", "/inventory/imports/i-1/errors.csv", "sku,error_code")
    options = ("--mode", "add", "--on-error", "reject_all", "--dry-run", "--create-missing", "--key", "monday")
    outcome = signed_in("inventory", "import", str(file), *options, "--errors-to", str(errors))
    assert outcome.status == 1
    assert outcome.out.splitlines()[1:3] == ["Nothing was changed.", "Seen before."]
    [(_, _, _, headers)] = rappit.requests("POST", path)
    assert headers["idempotency-key"] == "monday"
    assert "error_code" in errors.read_text()


def test_job_is_followed_to_its_end(rappit, signed_in, tmp_path, monkeypatch):
    monkeypatch.setattr("rappit_cli.commands.imports.POLL_S", 0)
    file = tmp_path / "stock.csv"
    file.write_bytes(b"sku,quantity,warehouse_code\n")
    job = {"import_id": "i-1", "status": "queued", "phase": "waiting", "rows_read": 0, "total": None}
    rappit.answer("POST", "/inventory/bulk", job, 202)
    rappit.answer("GET", "/inventory/imports/i-1", {**job, "status": "running", "phase": "reading", "rows_read": 2000})
    done = {**IMPORTED, "status": "completed", "failed": 0, "errors": []}
    rappit.answer("GET", "/inventory/imports/i-1", done)
    outcome = signed_in("inventory", "import", str(file), "--async")
    assert (outcome.status, outcome.err) == (0, "waiting: 0 rows read\nreading: 2,000 rows read\n")
    assert outcome.out.startswith("3 rows: 2 succeeded")
    waiting = signed_in("inventory", "import", str(file), "--async", "--no-follow")
    assert (waiting.status, "i-1" in waiting.out) == (0, True)


def test_imports_are_listed_shown_and_cancelled(rappit, signed_in):
    failed = {"import_id": "i-2", "status": "failed", "total": None, "error_message": "It was interrupted."}
    rappit.answer("GET", "/inventory/imports", page({**failed, "kind": "stock", "file_name": "a.csv"}))
    assert signed_in("inventory", "imports").out.splitlines()[1].split()[:4] == ["-", "stock", "failed", "a.csv"]
    rappit.answer("GET", "/inventory/imports/i-2", failed)
    shown = signed_in("inventory", "import-status", "i-2")
    assert (shown.status, "It was interrupted." in shown.out) == (1, True)
    rappit.answer("POST", "/inventory/imports/i-3/cancel", {"status": "running"})
    assert signed_in("inventory", "import-cancel", "i-3").out == "The worker was asked to stop.\n"


def test_export_is_written_where_it_was_told(rappit, signed_in, tmp_path):
    rappit.answer("GET", "/inventory/levels/export", "sku")
    file = tmp_path / "levels.csv"
    assert signed_in("inventory", "export", "--warehouse", "M", "-o", str(file)).status == 0
    assert file.read_text() == '"sku"'
    assert signed_in("inventory", "export").out == '"sku"'
    assert rappit.asked[0][1] == "/inventory/levels/export?warehouse_code=M"
    refused = signed_in("inventory", "export", "-o", str(tmp_path))
    assert (refused.status, "cannot be written" in refused.err) == (1, True)


def test_missing_file_is_misuse(signed_in):
    assert signed_in("inventory", "import", "/nowhere.csv").status == 2


def test_levels_shipments_and_channels_are_listed(rappit, signed_in):
    level = {"sku": "A", "warehouse_code": "M", "quantity_total": 5, "quantity_reserved": 2, "quantity_available": 3}
    rappit.answer("GET", "/inventory/levels", page(level))
    out = signed_in("inventory", "levels", "--sku", "A", "--warehouse", "M").out
    assert out.splitlines()[1].split() == ["A", "M", "5", "2", "3"]
    shipment = {"id": "s-1", "status": "labelled", "carrier": "dhl", "tracking_number": "00340", "order_id": "o-1"}
    rappit.answer("GET", "/shipping/shipments", page({**shipment, "cost": {"amount": "4.19", "currency": "EUR"}}))
    out = signed_in("shipments", "list", "--order", "o-1").out
    assert out.splitlines()[1].split() == ["labelled", "dhl", "00340", "-", "4.19", "EUR", "o-1", "s-1"]
    rappit.answer("GET", "/channels", page({"id": "c-1", "provider": "shopify", "name": "Shop", "status": "active"}))
    assert signed_in("channels", "list").out.splitlines()[1].split() == ["shopify", "Shop", "active", "-", "c-1"]
    assert [request[1] for request in rappit.asked][:2] == [
        "/inventory/levels?sku=A&warehouse_code=M&limit=50",
        "/shipping/shipments?order_id=o-1&limit=50",
    ]


def test_channel_is_created_with_the_secret_of_the_environment(rappit, signed_in):
    made = {"id": "c-1", "provider": "shopify", "name": "Shop", "webhook_url": "https://x/webhooks/c-1"}
    rappit.answer("POST", "/channels", made, 201)
    create = ("channels", "create", "--provider", "shopify", "--name", "Shop", "--shop-domain", "s.myshopify.com")
    assert "https://x/webhooks/c-1" in signed_in(*create, RAPPIT_CHANNEL_SECRET="shpss_1").out
    [(_, _, body, _)] = rappit.requests("POST", "/channels")
    assert json.loads(body) == {
        "provider": "shopify",
        "name": "Shop",
        "secret": "shpss_1",
        "shop_domain": "s.myshopify.com",
    }


def test_generated_secret_is_shown_with_a_warning(rappit, signed_in):
    rappit.answer("POST", "/channels", {"id": "c-1", "secret": "whsec_1"}, 201)
    out = signed_in("channels", "create", "--provider", "standard_webhooks", "--name", "X").out
    assert "whsec_1" in out
    assert "Keep the secret now" in out


def test_order_is_placed_from_a_file_under_the_files_own_key(rappit, signed_in, tmp_path):
    file = tmp_path / "order.json"
    file.write_bytes(b'{"type": "order.created"}')
    rappit.answer("POST", "/orders", ORDER, 201)
    rappit.answer("POST", "/orders", ORDER, 200)
    first, again = (signed_in("orders", "create", "--file", str(file)) for _ in range(2))
    assert (first.status, again.status) == (0, 0)
    assert first.out.split()[:2] == ["Id:", "o-1"]
    assert again.out.startswith("This was answered before, and nothing was done.")
    named = signed_in("orders", "create", "--file", str(file), "--idempotency-key", "mine", "--json")
    assert json.loads(named.out) == ORDER
    asked = rappit.requests("POST", "/orders")
    assert [(x[2], x[3]["content-type"]) for x in asked] == [(file.read_bytes(), "application/json")] * 3
    keys = [x[3]["idempotency-key"] for x in asked]
    assert keys[0] == keys[1] == f"rappit-cli-{hashlib.sha256(file.read_bytes()).hexdigest()}"
    assert keys[2] == "mine"


def test_refused_order_is_told_in_the_apis_words(rappit, signed_in, tmp_path):
    file = tmp_path / "order.json"
    file.write_text("{}")
    rappit.answer("POST", "/orders", {"code": "invalid_delivery", "detail": "type is missing."}, 422)
    outcome = signed_in("orders", "create", "--file", str(file))
    assert (outcome.status, outcome.err) == (1, "type is missing.\n")


@pytest.mark.parametrize("arguments", [["--help"], ["orders", "--help"], ["dead-letters", "requeue", "--help"]])
def test_help_answers(run, arguments):
    outcome = run(*arguments)
    assert (outcome.status, "Usage: rappit" in outcome.out) == (0, True)
