"""Imports as jobs, their history, keys and failed rows; of stock and of the catalogue."""

import asyncio
import csv
import io
import json

import pytest
from rappit_common.testing.waiting import eventually
from rappit_common.web.auth import Role

pytestmark = pytest.mark.server
HEADER = "sku,quantity,warehouse_code\n"


async def post(merchant, body, path="/bulk", headers=None, **params):
    given = {"Content-Type": "text/csv", **(headers or {})}
    return await merchant.call("POST", path, content=body, headers=given, params=params)


async def posted(merchant, body, path="/bulk", **more):
    answer = await post(merchant, body, path, **more)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def as_job(merchant, body, path="/bulk", **params):
    answer = await post(merchant, body, path, **{"async": "true", **params})
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/inventory/imports/{answer.json()['import_id']}"
    return answer.json()["import_id"]


async def ended(merchant, import_id):
    async def there():
        found = await merchant.get(f"/imports/{import_id}")
        return found if found["finished_at"] else None

    return await eventually(there, what=f"the end of import {import_id}", within_s=30)


async def mendable(merchant, import_id):
    answer = await merchant.call("GET", f"/imports/{import_id}/errors.csv", role=Role.VIEWER)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-disposition"].startswith("attachment")
    return answer.text


async def test_add_mode_raises_levels_and_refuses_what_would_not_fit(merchant):
    await merchant.stock({("A", "BER"): 5, ("B", "BER"): 2_147_483_000})
    summary = await posted(merchant, HEADER + "A,3,BER\nB,648,BER\nA,-1,LYS\n", mode="add")
    assert (summary["updated"], summary["failed"]) == (1, 2)
    assert [(error["line"], error["code"]) for error in summary["errors"]] == [
        (3, "quantity_too_large"),
        (4, "negative_quantity"),
    ]
    assert await merchant.levels(sku="A") == {("A", "BER"): (8, 0, 8)}
    await merchant.assert_ledger_matches()


async def test_created_levels_and_missing_skus_are_counted_and_added(merchant):
    await merchant.stock({("A", "BER"): 5})
    body = HEADER + "A,5,BER\nNew,1,BER\nNEW,2,BER\nOther,0,BER\nBad,x,BER\n"
    dry = await posted(merchant, body, create_missing_skus="true", dry_run="true")
    assert (dry["created"], dry["created_skus"], dry["applied"]) == (2, 2, False)
    assert (await posted(merchant, body))["failed"] == 4
    summary = await posted(merchant, body, create_missing_skus="true")
    counts = {key: summary[key] for key in ("created", "updated", "unchanged", "created_skus", "failed")}
    assert counts == {"created": 2, "updated": 0, "unchanged": 1, "created_skus": 2, "failed": 2}
    assert await merchant.levels(sku="new") == {("New", "BER"): (1, 0, 1)}
    again = await posted(merchant, body, create_missing_skus="true")
    assert (again["created"], again["unchanged"], again["created_skus"]) == (0, 3, 0)
    await merchant.assert_ledger_matches()


async def test_missing_sku_serves_the_order_that_was_on_hold_for_it(merchant):
    await merchant.stock({("A", "BER"): 1})
    order = merchant.order({"Late": 2})
    await merchant.publish([order])
    await merchant.until(order["order_id"], "on_hold")
    await posted(merchant, HEADER + "late,2,BER\n", create_missing_skus="true")
    await merchant.until(order["order_id"], "reserved")


async def test_repeated_key_is_answered_alike_and_applied_once(merchant):
    await merchant.stock({("A", "BER"): 5})
    body, key = HEADER + "A,1,BER\nX,1,BER\n", {"Idempotency-Key": "monday"}
    answers = await asyncio.gather(*(post(merchant, body, headers=key, mode="add") for _ in range(4)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert await merchant.levels() == {("A", "BER"): (6, 0, 6)}
    for other, mode in ((body + "\n", "add"), (body, "set")):
        refused = await post(merchant, other, headers=key, mode=mode)
        assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")
    other = merchant.inventory.merchant()
    await other.stock({("A", "BER"): 5})
    assert (await posted(other, body, headers=key, mode="add"))["updated"] == 1


async def test_key_of_a_file_that_could_not_be_read_is_free_again(merchant):
    await merchant.stock({("A", "BER"): 5})
    key = {"Idempotency-Key": "tuesday"}
    assert (await post(merchant, HEADER + 'A,1,BER\n"A' + "x" * 200_000, headers=key)).status_code == 422
    assert (await posted(merchant, HEADER + "A,1,BER\n", headers=key))["updated"] == 1


async def test_file_seen_before_is_applied_with_a_warning(merchant):
    await merchant.stock({("A", "BER"): 5})
    body = HEADER + "A,1,BER\n"
    first = await posted(merchant, body, mode="add")
    assert first["warnings"] == []
    second = await posted(merchant, body, mode="add")
    assert second["updated"] == 1
    [warning] = second["warnings"]
    assert first["import_id"] in warning
    assert "imported before, at 20" in warning
    assert await merchant.levels() == {("A", "BER"): (7, 0, 7)}


async def test_failed_rows_come_back_as_a_file_that_can_be_mended_and_sent_again(merchant):
    await merchant.stock({("A", "BER"): 5, ("B", "BER"): 5})
    body = 'note;sku;quantity;warehouse_code\n=1+1;A;x;BER\nfine;B;7;BER\n\n"two\nlines";A;8;MARS\nshort;A\n'
    summary = await posted(merchant, body)
    assert (summary["failed"], summary["updated"]) == (3, 1)
    text = await mendable(merchant, summary["import_id"])
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert rows[0] == [
        *("note", "sku", "quantity", "warehouse_code"),
        *("error_line", "error_field", "error_code", "error_message"),
    ]
    assert [row[:7] for row in rows[1:]] == [
        ["'=1+1", "A", "x", "BER", "2", "quantity", "not_a_whole_number"],
        ["two\nlines", "A", "8", "MARS", "5", "warehouse_code", "unknown_warehouse"],
        ["short", "A", "", "", "7", "row", "missing_columns"],
    ]
    mended = text.replace(",x,BER", ",9,BER")
    again = await posted(merchant, mended)
    assert (again["updated"], again["failed"], again["warnings"]) == (1, 2, ["Ignored columns: note."])
    assert await merchant.levels(sku="A") == {("A", "BER"): (9, 0, 9)}


async def test_failed_rows_of_json_come_back_as_a_file_too(merchant):
    await merchant.stock({("=A", "BER"): 5})
    items = [{}, {"sku": "=A", "quantity": 6, "warehouse_code": "BER"}, {"sku": "X", "quantity": 1.5}]
    answer = await merchant.call("POST", "/bulk", json={"items": items})
    summary = answer.json()
    assert (summary["updated"], [(x["line"], x["code"]) for x in summary["errors"]]) == (
        1,
        [(1, "missing_value"), (3, "missing_value")],
    )
    rows = list(csv.reader(io.StringIO(await mendable(merchant, summary["import_id"]), newline="")))
    assert [row[:4] for row in rows[1:]] == [["", "", "", "1"], ["X", "1.5", "", "3"]]


async def test_job_is_applied_by_a_worker_and_watched_to_its_end(merchant):
    await merchant.stock({("A", "BER"): 5})
    import_id = await as_job(merchant, HEADER + "A,6,BER\nX,1,BER\n")
    answer = await merchant.call("GET", f"/imports/{import_id}/events", role=Role.VIEWER)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-accel-buffering"] == "no"
    *_, last = [part for part in answer.text.split("\n\n") if part]
    assert last.startswith("event: end\n")
    told = json.loads(last.partition("data: ")[2])
    found = await ended(merchant, import_id)
    assert (found["status"], found["updated"], found["failed"]) == ("completed", 1, 1)
    assert (told["status"], told["updated"], told["rows_read"]) == ("completed", 1, 2)
    assert [error["code"] for error in found["errors"]] == ["unknown_sku"]
    assert await merchant.levels() == {("A", "BER"): (6, 0, 6)}
    await merchant.assert_ledger_matches()


async def test_file_over_the_threshold_becomes_a_job_by_itself(merchant, monkeypatch):
    await merchant.stock({("A", "BER"): 5})
    monkeypatch.setitem(merchant.inventory.app.state._state, "import_job_bytes", 40)
    assert (await post(merchant, HEADER + "A,6,BER\n")).status_code == 200
    big = await post(merchant, HEADER + "A,7,BER\n" * 3)
    assert big.status_code == 202
    assert (await ended(merchant, big.json()["import_id"]))["failed"] == 2


async def test_rejected_and_unreadable_jobs_say_so_and_change_nothing(merchant):
    await merchant.stock({("A", "BER"): 5})
    rejected = await ended(merchant, await as_job(merchant, HEADER + "A,6,BER\nX,1,BER\n", on_error="reject_all"))
    assert (rejected["status"], rejected["applied"], rejected["failed"]) == ("rejected", False, 1)
    broken = await ended(merchant, await as_job(merchant, HEADER + 'A,6,BER\n"' + "B,1,BER\n" * 30_000))
    assert (broken["status"], broken["error_code"]) == ("failed", "unreadable_file")
    assert "is a quote open" in broken["error_message"]
    assert await merchant.levels() == {("A", "BER"): (5, 0, 5)}


async def test_jobs_of_one_organization_run_in_the_order_they_were_sent(merchant):
    await merchant.stock({("A", "BER"): 5})
    jobs = [await as_job(merchant, HEADER + f"A,{number},BER\n") for number in range(10, 15)]
    assert {(await ended(merchant, job))["status"] for job in jobs} == {"completed"}
    assert await merchant.levels() == {("A", "BER"): (14, 0, 14)}


async def test_finished_import_cannot_be_cancelled(merchant):
    await merchant.stock({("A", "BER"): 5})
    summary = await posted(merchant, HEADER + "A,6,BER\n")
    answer = await merchant.call("POST", f"/imports/{summary['import_id']}/cancel")
    assert (answer.status_code, answer.json()["code"]) == (409, "import_finished")


async def test_history_lists_newest_first_and_by_kind(merchant):
    await merchant.stock({("A", "BER"): 5})
    first = await posted(merchant, "sku\nB\n", "/skus/import")
    second = await posted(merchant, HEADER + "B,6,BER\n")
    page = await merchant.get("/imports", limit=1)
    assert [item["import_id"] for item in page["items"]] == [second["import_id"]]
    following = await merchant.get("/imports", limit=1, cursor=page["next_cursor"])
    assert [item["import_id"] for item in following["items"]] == [first["import_id"]]
    only = await merchant.get("/imports", kind="catalogue")
    assert [item["import_id"] for item in only["items"]] == [first["import_id"]]


async def test_imports_of_another_organization_are_unknown(merchant):
    await merchant.stock({("A", "BER"): 5})
    import_id = (await posted(merchant, HEADER + "A,x,BER\n"))["import_id"]
    other = merchant.inventory.merchant()
    for method, path in (
        ("GET", f"/imports/{import_id}"),
        ("GET", f"/imports/{import_id}/events"),
        ("GET", f"/imports/{import_id}/errors.csv"),
        ("POST", f"/imports/{import_id}/cancel"),
    ):
        answer = await other.call(method, path)
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_import"), path
    assert (await other.get("/imports"))["items"] == []
    foreign = await posted(other, HEADER + "A,1,BER\n")
    assert [error["code"] for error in foreign["errors"]] == ["unknown_sku"]


async def test_skus_are_created_and_updated_from_a_file(merchant):
    first = await posted(merchant, "sku;name;barcode\nA;Tee;1\nB;;\n", "/skus/import", mode="create")
    assert (first["created"], first["created_skus"], first["failed"]) == (2, 2, 0)
    second = await posted(merchant, "sku,name\na,Tee shirt\nB,B\nC,New\nC,Twice\n", "/skus/import")
    assert {key: second[key] for key in ("created", "updated", "unchanged", "failed")} == {
        "created": 1,
        "updated": 1,
        "unchanged": 1,
        "failed": 1,
    }
    page = await merchant.get("/skus")
    assert sorted((x["sku"], x["name"], x["barcode"]) for x in page["items"]) == [
        ("A", "Tee shirt", "1"),
        ("B", "B", None),
        ("C", "New", None),
    ]
    for mode, sku, code in (("create", "A", "sku_exists"), ("update", "Z", "unknown_sku")):
        refused = await posted(merchant, f"sku\n{sku}\n", "/skus/import", mode=mode)
        assert [error["code"] for error in refused["errors"]] == [code]


async def test_customs_data_and_sizes_come_by_a_file_and_an_empty_cell_removes_them(merchant):
    header = "sku,product,weight_g,length_mm,width_mm,height_mm,hs_code,country_of_origin,customs_description\n"
    await posted(merchant, header + "A,Tee,180,300,200,20,610910,PT,Shirt of cotton\n", "/skus/import")
    found = await merchant.get("/skus/A")
    assert [found[name] for name in header.strip().split(",")[1:]] == [
        *("Tee", 180, 300, 200, 20),
        *("610910", "PT", "Shirt of cotton"),
    ]
    summary = await posted(merchant, "sku,weight_g,hs_code\nA,,610910\n", "/skus/import")
    assert summary["updated"] == 1
    found = await merchant.get("/skus/A")
    assert (found["weight_g"], found["hs_code"], found["product"]) == (None, "610910", "Tee")


async def test_new_sku_of_a_file_serves_the_order_on_hold(merchant):
    await merchant.stock({("A", "BER"): 1})
    order = merchant.order({"Soon": 1})
    await merchant.publish([order])
    await merchant.until(order["order_id"], "on_hold")
    await posted(merchant, "sku\nsoon\n", "/skus/import")
    await merchant.until(order["order_id"], "backordered")


async def test_export_can_be_edited_and_sent_back(merchant):
    await merchant.stock({("A", "BER"): 5, ("=B", "BER"): 6, ("C", "LYS"): 7})
    answer = await merchant.call("GET", "/levels/export", role=Role.VIEWER)
    assert answer.status_code == 200, answer.text
    rows = answer.text.splitlines()
    assert rows[0].startswith("sku,quantity,warehouse_code,")
    assert sorted(row.rsplit(",", 1)[0] for row in rows[1:]) == [
        "'=B,6,BER,0,6,0,0",
        "A,5,BER,0,5,0,0",
        "C,7,LYS,0,7,0,0",
    ]
    back = await posted(merchant, answer.text.replace("A,5,BER", "A,9,BER"))
    assert (back["updated"], back["unchanged"], back["failed"]) == (1, 2, 0)
    only = await merchant.call("GET", "/levels/export", params={"warehouse_code": "lys"})
    assert len(only.text.splitlines()) == 2
    missing = await merchant.call("GET", "/levels/export", params={"warehouse_code": "MARS"})
    assert missing.status_code == 404


@pytest.mark.parametrize("kind", ["stock", "catalogue"])
async def test_template_is_a_file_of_its_kind(merchant, kind):
    answer = await merchant.call("GET", "/imports/template", params={"kind": kind})
    path = "/bulk" if kind == "stock" else "/skus/import"
    assert (await post(merchant, answer.text, path)).status_code == 200


async def test_files_past_their_retention_are_removed_and_the_history_stays(merchant):
    from rappit_inventory.flows.import_worker import ImportPurge  # noqa: PLC0415 - needed here only

    await merchant.stock({("A", "BER"): 5})
    import_id = (await posted(merchant, HEADER + "X,6,BER\n"))["import_id"]
    aged = "UPDATE imports SET finished_at = finished_at - interval '31 days' WHERE organization_id = $1"
    await merchant.sql(aged, merchant.organization_id)
    await ImportPurge(merchant.inventory.runtime.units, 30).act()
    gone = await merchant.call("GET", f"/imports/{import_id}/errors.csv")
    assert (gone.status_code, gone.json()["code"]) == (410, "import_file_removed")
    found = await merchant.get(f"/imports/{import_id}")
    assert (found["failed"], found["errors"], found["has_file"]) == (1, [], False)
    left = "SELECT 1 FROM import_chunks WHERE import_id = $1 UNION ALL SELECT 1 FROM import_errors WHERE import_id = $1"
    assert await merchant.sql(left, import_id) == []
