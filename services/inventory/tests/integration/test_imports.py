"""Stock by the thousand: every format, every refusal, one transaction."""

import asyncio
import json
import time

import pytest
from rappit_common.clock import utc_now
from rappit_common.testing.waiting import eventually
from rappit_inventory.endpoints import uploads
from rappit_inventory.messages import StockChanged
from rappit_inventory.service.catalogue import change_sku, change_warehouse

pytestmark = pytest.mark.server
HEADER = "sku,quantity,warehouse_code\n"


async def send(merchant, body, content_type="text/csv", **params):
    return await merchant.call("POST", "/bulk", content=body, headers={"Content-Type": content_type}, params=params)


async def imported(merchant, body, content_type="text/csv", **params):
    answer = await send(merchant, body, content_type, **params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_good_rows_apply_and_each_bad_row_says_why(merchant):
    await merchant.stock({("A", "BER"): 5, ("B", "BER"): 5})
    order = merchant.order({"A": 3})
    await merchant.publish([order])
    await merchant.until(order["order_id"], "reserved")
    rows = ["a,2,BER", "B,7,ber", "NOPE,1,BER", "B,1,MARS", "B,9,BER", "B,x,BER", "B,-1,BER"]
    summary = await imported(merchant, HEADER + "\n".join(rows))
    assert {key: summary[key] for key in ("total", "succeeded", "failed", "updated", "unchanged", "applied")} == {
        "total": 7,
        "succeeded": 1,
        "failed": 6,
        "updated": 1,
        "unchanged": 0,
        "applied": True,
    }
    assert [(error["line"], error["field"], error["code"]) for error in summary["errors"]] == [
        (2, "quantity", "below_reserved"),
        (4, "sku", "unknown_sku"),
        (5, "warehouse_code", "unknown_warehouse"),
        (6, "sku", "duplicate_row"),
        (7, "quantity", "not_a_whole_number"),
        (8, "quantity", "negative_quantity"),
    ]
    assert summary["errors"][0]["message"] == "SKU a has 3 reserved in BER; the quantity cannot be 2."
    assert summary["errors"][3]["message"] == "SKU B in BER stands on line 3 already."
    assert await merchant.levels() == {("A", "BER"): (5, 3, 2), ("B", "BER"): (7, 0, 7)}
    await merchant.assert_ledger_matches()


async def test_reject_all_and_dry_run_change_nothing(merchant):
    await merchant.stock({("A", "BER"): 5})
    before = await merchant.levels()
    rejected = await imported(merchant, HEADER + "A,6,BER\nX,1,BER\n", on_error="reject_all")
    assert (rejected["applied"], rejected["succeeded"], rejected["failed"]) == (False, 0, 1)
    dry = await imported(merchant, HEADER + "A,6,BER\nX,1,BER\n", dry_run="true")
    assert (dry["applied"], dry["updated"], dry["failed"]) == (False, 1, 1)
    assert await merchant.levels() == before
    applied = await imported(merchant, HEADER + "A,6,BER\n", on_error="reject_all")
    assert (applied["applied"], applied["updated"]) == (True, 1)


async def test_unchanged_rows_write_nothing(merchant):
    await merchant.stock({("A", "BER"): 5})
    count = "SELECT (SELECT count(*) FROM stock_ledger WHERE organization_id = $1),"
    count += " (SELECT count(*) FROM outbox WHERE organization_id = $1)"
    before = await merchant.sql(count, merchant.organization_id)
    summary = await imported(merchant, HEADER + "A,5,BER\n")
    assert (summary["updated"], summary["unchanged"], summary["succeeded"]) == (0, 1, 1)
    assert await merchant.sql(count, merchant.organization_id) == before


async def test_form_upload_is_read_like_a_bare_file(merchant):
    await merchant.stock({("A", "BER"): 0, ("TÉÉ", "BER"): 0})
    content = "\ufeffwarehouse_code;note;sku;quantity\r\nBER;x;A;4\r\nBER;;TÉÉ;5\r\n".encode()
    files = [("comment", (None, b"ignored")), ("file", ("stock.csv", content, "text/csv"))]
    answer = await merchant.call("POST", "/bulk", files=files)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["updated"], answer.json()["warnings"]) == (2, ["Ignored columns: note."])
    assert await merchant.levels(sku="téé") == {("TÉÉ", "BER"): (5, 0, 5)}


async def test_json_rows_are_checked_one_by_one(merchant):
    await merchant.stock({("A", "BER"): 0})
    items = [
        {"sku": "A", "warehouse_code": "BER", "quantity": 4},
        {"sku": "A", "quantity": 1.5, "warehouse_code": "BER"},
    ]
    summary = await imported(merchant, json.dumps({"items": items}), "application/json")
    assert (summary["updated"], summary["failed"]) == (1, 1)
    assert (summary["errors"][0]["line"], summary["errors"][0]["code"]) == (2, "not_a_whole_number")


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    [
        ("", "text/csv", 422, "unreadable_file"),
        ("a,b\n1,2\n", "text/csv", 422, "missing_column"),
        ("[1]", "application/json", 422, "unreadable_file"),
        ("{", "application/json", 422, "unreadable_file"),
        ("<x/>", "application/xml", 415, "unsupported_media_type"),
        ("", "multipart/form-data", 422, "unreadable_form"),
        ("rubbish", "multipart/form-data; boundary=x", 422, "unreadable_form"),
        (
            '--x\r\nContent-Disposition: form-data; name="y"\r\n\r\n1\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
            422,
            "missing_file",
        ),
        (
            f'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n{HEADER}A',
            "multipart/form-data; boundary=x",
            422,
            "unreadable_form",
        ),
    ],
)
async def test_body_that_is_no_import_is_refused_as_a_problem(merchant, body, content_type, status, code):
    answer = await send(merchant, body, content_type)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"


async def test_thousand_rows_take_moments_and_are_announced(merchant):
    levels = {(f"SKU-{n:04}", "BER"): 0 for n in range(1_000)}
    await merchant.stock(levels)
    body = HEADER + "".join(f"{sku},{n + 1},BER\n" for n, (sku, _) in enumerate(levels)) + "BAD,1,BER\n"
    started = time.perf_counter()
    summary = await imported(merchant, body)
    # About 0.1 s; the rest is room for a machine that runs other tests meanwhile.
    assert time.perf_counter() - started < 2
    assert (summary["updated"], summary["failed"]) == (1_000, 1)
    query = "SELECT body, headers::text AS headers FROM outbox WHERE organization_id = $1 AND event = $2"
    rows = await merchant.sql(query, merchant.organization_id, StockChanged.event_name)
    events = [StockChanged.model_validate_json(row["body"]) for row in rows]
    told = [change.on_hand for event in events for change in event.changes if change.on_hand]
    assert sorted(told) == list(range(1, 1_001))
    assert max(len(event.changes) for event in events) == 500
    assert all(json.loads(row["headers"])["rappit-organization-id"] == str(merchant.organization_id) for row in rows)
    await merchant.assert_ledger_matches()


async def test_errors_in_the_answer_are_bounded_and_counted(merchant):
    await merchant.stock({("A", "BER"): 0})
    body = HEADER + "".join(f"NO-{n},1,BER\n" if n % 2 else "A,x,BER\n" for n in range(3_000))
    summary = await imported(merchant, body)
    assert (summary["failed"], len(summary["errors"])) == (3_000, 1_000)
    assert [error["line"] for error in summary["errors"]] == list(range(2, 1_002))


@pytest.mark.parametrize("content_type", ["text/csv", "multipart/form-data; boundary=x", "application/json"])
async def test_body_past_the_limit_is_refused_while_it_comes(merchant, monkeypatch, content_type):
    monkeypatch.setattr(uploads, "MAX_FILE_BYTES", 10_000)
    monkeypatch.setattr(uploads, "MAX_JSON_BYTES", 10_000)

    async def chunks():
        yield b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n' if "multipart" in content_type else b""
        for _ in range(20):
            yield b"A,1,BER\n" * 100

    answer = await send(merchant, chunks(), content_type)
    assert (answer.status_code, answer.json()["code"]) == (413, "file_too_large")


@pytest.mark.parametrize("content_type", ["text/csv", "multipart/form-data; boundary=x", "application/json"])
async def test_upload_that_is_cut_off_changes_nothing_and_is_no_failure_of_ours(merchant, content_type):
    await merchant.stock({("A", "BER"): 5})
    form = '--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n' if "multipart" in content_type else ""
    heard = iter([{"type": "http.request", "body": f"{form}{HEADER}A,9,BER\n".encode(), "more_body": True}])
    answered = []

    async def receive():
        return next(heard, {"type": "http.disconnect"})

    async def answer(message):
        answered.append(message)

    headers = {**merchant.headers(), "Content-Type": content_type}
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/inventory/bulk",
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }
    await merchant.inventory.app(scope, receive, answer)
    assert answered[0]["status"] == 422
    assert json.loads(answered[1]["body"])["code"] == "upload_cut_off"
    assert await merchant.levels() == {("A", "BER"): (5, 0, 5)}


async def test_viewer_may_not_import(merchant):
    from rappit_common.web.auth import Role  # noqa: PLC0415 - needed here only

    answer = await merchant.call("POST", "/bulk", content=HEADER, role=Role.VIEWER)
    assert (answer.status_code, answer.json()["code"]) == (403, "missing_role")


async def sent_while_the_catalogue_changes(merchant, change):
    """Send an import whose rows are checked before a change to the catalogue commits, and applied after."""
    begun, units = asyncio.Event(), merchant.inventory.runtime.units

    async def send_later():
        await begun.wait()
        row = {"sku": "A", "warehouse_code": "BER", "quantity": 9}
        return await merchant.call("POST", "/bulk", json={"items": [row]})

    async def import_waits():
        [row] = await merchant.sql("SELECT count(*) AS n FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        return row["n"] > 0

    # Made first: a task inherits the mark of an open transaction, and could open none of its own.
    sending = asyncio.create_task(send_later())
    async with units.begin(merchant.organization_id) as unit:
        await change(unit)
        begun.set()
        await eventually(import_waits, what="the import at the catalogue lock")
    return (await sending).json()


async def test_warehouse_that_is_closed_while_a_file_is_read_takes_nothing_of_it(merchant):
    await merchant.stock({("A", "BER"): 5})
    answer = await sent_while_the_catalogue_changes(
        merchant, lambda unit: change_warehouse(unit, "BER", {"active": False}, now=utc_now())
    )
    assert [(error["line"], error["code"]) for error in answer["errors"]] == [(1, "inactive_warehouse")]
    assert await merchant.levels() == {("A", "BER"): (5, 0, 5)}


async def test_sku_that_is_retired_while_a_file_is_read_is_not_told_as_available(merchant):
    await merchant.stock({("A", "BER"): 5})
    answer = await sent_while_the_catalogue_changes(
        merchant, lambda unit: change_sku(unit, "A", {"active": False}, now=utc_now())
    )
    assert answer["updated"] == 1
    [change] = (await merchant.told("inventory.stock-changed.v1"))[-1]["changes"]
    assert (change["on_hand"], change["available"]) == (9, 0)
