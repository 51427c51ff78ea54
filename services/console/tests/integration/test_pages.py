import html
import json
from uuid import uuid4

import pytest
from upstream_double import (
    BACKORDERED,
    BACKORDERED_ID,
    INSUFFICIENT,
    LETTER_ID,
    OPERATOR,
    ORDER_ID,
    SHIPPING_LETTER_ID,
    TRACE,
    VIEWER,
    World,
)

HX = {"HX-Request": "true"}
LABEL = {"carrier_account_id": str(uuid4()), "weight_kg": "1.5", "length_cm": "30", "width_cm": "20", "height_cm": "10"}


def toast_of(answer) -> str:
    assert 'hx-swap-oob="beforeend"' in answer.text
    return html.unescape(answer.text.split('class="toast-message">')[1].split("</p>")[0])


async def test_orders_are_filtered_searched_and_paged(browser_like, sign_in, world: World) -> None:
    await sign_in()
    page = await browser_like.get("/console/orders")
    assert page.text.count('class="row-link"') == 25
    more = html.unescape(page.text.split('hx-get="/console/orders?')[1].split('"')[0])
    rows = await browser_like.get(f"/console/orders?{more}", headers=HX)
    assert rows.text.count('class="row-link"') == 7
    assert "<table" not in rows.text
    assert "Load more" not in rows.text
    found = await browser_like.get("/console/orders?q=5581001&state=reserved", headers=HX)
    assert found.text.count('class="row-link"') == 1
    none = await browser_like.get("/console/orders?q=nothing", headers=HX)
    assert "No order matches" in none.text
    world.orders.clear()
    assert "Import stock" in (await browser_like.get("/console/orders")).text


async def test_an_order_tells_everything(browser_like, sign_in) -> None:
    await sign_in()
    page = await browser_like.get(f"/console/orders/{BACKORDERED_ID}")
    for shown in (
        "Order 1002",
        "Backordered",
        "Insufficient stock: SKU MUG-BLUE needs 5, 2 available.",
        "Red shirt, M",
    ):
        assert shown in page.text
    for shown in ("29.90 EUR", "Hauptstrasse 1", "Placed in the shop.", "FedEx main", "No label was bought yet."):
        assert shown in page.text


async def test_an_order_is_shown_while_shipping_is_away(browser_like, sign_in, world: World) -> None:
    await sign_in()
    world.broken["/shipping"] = (503, None)
    page = await browser_like.get(f"/console/orders/{ORDER_ID}")
    assert page.status_code == 200
    assert "Shipping cannot be reached" in page.text


async def test_an_order_that_lies_in_two_warehouses_asks_from_which_one_the_parcel_leaves(
    browser_like, sign_in, world: World
) -> None:
    world.orders[ORDER_ID]["allocations"] = [
        {"sku": "SHIRT-RED-M", "warehouse_code": code, "quantity": 1} for code in ("MAIN", "EAST")
    ]
    await sign_in()
    page = (await browser_like.get(f"/console/orders/{ORDER_ID}")).text
    assert "The stock of this order lies in MAIN, EAST" in page
    assert page.count('name="warehouse_code"') == 1
    form = {**LABEL, "key": str(uuid4()), "warehouse_code": "EAST", "additional": "true"}
    await browser_like.post(f"/console/orders/{ORDER_ID}/labels", data=form, headers=HX)
    sent = json.loads(world.asked("POST", "/shipping/shipments")[0].body)
    assert (sent["warehouse_code"], sent["additional"]) == ("EAST", True)


@pytest.mark.parametrize(
    ("status", "shown", "offered"),
    [
        ("purchasing", "Being bought", []),
        ("outcome_unknown", "Asking the carrier", []),
        ("failed", "Not bought", []),
        ("void_pending", "Being voided", ["Label"]),
        ("labelled", "Labelled", ["Label", "Void"]),
        ("voided", "Voided", []),
    ],
)
async def test_a_shipment_offers_what_its_status_allows(
    browser_like, sign_in, world: World, status, shown, offered
) -> None:
    shipment = {
        "id": str(uuid4()),
        "order_id": str(ORDER_ID),
        "carrier": "dhl",
        "status": status,
        "label_available": status in {"labelled", "void_pending", "voided"},
        "problem": {"code": "carrier_refused", "message": "The street is missing."} if status == "failed" else None,
    }
    world.shipments[shipment["id"]] = shipment
    await sign_in()
    page = (await browser_like.get(f"/console/orders/{ORDER_ID}")).text
    assert f">{shown}</span>" in page
    assert [word for word in ("Label", "Void") if f">{word}</" in page] == offered
    assert ("The street is missing." in page) == (status == "failed")


async def test_an_order_is_asked_about_again_until_every_service_has_heard(browser_like, sign_in, world: World) -> None:
    await sign_in()
    address = f"/console/orders/{ORDER_ID}/progress"
    assert "hx-get" not in (await browser_like.get(f"{address}?n=1", headers=HX)).text
    form = {**LABEL, "key": str(uuid4())}
    bought = await browser_like.post(f"/console/orders/{ORDER_ID}/labels", data=form, headers=HX)
    assert "hx-get" not in bought.text
    told = world.orders[ORDER_ID].pop("shipments")
    waiting = (await browser_like.get(f"{address}?n=1", headers=HX)).text
    assert 'progress?n=2" hx-trigger="load delay:1200ms"' in waiting
    assert "hx-get" not in (await browser_like.get(f"{address}?n=8", headers=HX)).text
    world.orders[ORDER_ID]["shipments"] = told
    assert "hx-get" not in (await browser_like.get(f"{address}?n=2", headers=HX)).text


async def test_a_label_is_bought_downloaded_and_voided(browser_like, sign_in, world: World) -> None:
    await sign_in()
    key = str(uuid4())
    bought = await browser_like.post(f"/console/orders/{ORDER_ID}/labels", data={**LABEL, "key": key}, headers=HX)
    assert toast_of(bought) == "Label bought: FedEx 794600000012."
    assert 'id="label-key"' in bought.text
    assert key not in bought.text
    sent = world.asked("POST", "/shipping/shipments")[0]
    assert sent.headers["idempotency-key"] == key
    assert b'"weight_kg":1.5' in sent.body
    (shipment_id,) = world.shipments
    label = await browser_like.get(f"/console/shipments/{shipment_id}/label")
    assert label.content == b"%PDF-1.4 label"
    assert label.headers["content-disposition"] == f'attachment; filename="label-{shipment_id}.pdf"'
    assert label.headers["content-type"] == "application/pdf"
    voided = await browser_like.post(f"/console/orders/{ORDER_ID}/shipments/{shipment_id}/void", headers=HX)
    assert toast_of(voided) == "The label is voided."


async def test_a_refused_label_shows_the_exact_reason_and_takes_a_new_key(browser_like, sign_in) -> None:
    await sign_in()
    key = str(uuid4())
    answer = await browser_like.post(f"/console/orders/{BACKORDERED_ID}/labels", data={**LABEL, "key": key}, headers=HX)
    assert (answer.status_code, toast_of(answer)) == (409, BACKORDERED)
    assert answer.headers["hx-reswap"] == "none"
    assert TRACE in answer.text
    assert 'id="label-key"' in answer.text
    assert key not in answer.text


async def test_an_outage_keeps_the_key_so_that_nothing_is_bought_twice(browser_like, sign_in, world: World) -> None:
    await sign_in()
    world.broken["/shipping/shipments"] = (503, {"detail": "FedEx is away."})
    answer = await browser_like.post(
        f"/console/orders/{ORDER_ID}/labels", data={**LABEL, "key": str(uuid4())}, headers=HX
    )
    assert toast_of(answer) == "FedEx is away."
    assert 'id="label-key"' not in answer.text


async def test_cancelling_shows_the_new_state_or_the_reason_against_it(browser_like, sign_in, world: World) -> None:
    await sign_in()
    world.shipments["x"] = {"id": "x", "order_id": "other", "status": "labelled"}
    path = f"/console/orders/{ORDER_ID}/cancel"
    refused = await browser_like.post(path, data={"reason": "no"}, headers=HX)
    assert toast_of(refused) == "Order 1001 has a label: void it first."
    world.shipments.clear()
    done = await browser_like.post(path, data={"reason": "Changed their mind"}, headers=HX)
    assert "Cancelled" in done.text
    assert "Changed their mind" in done.text


async def test_viewers_see_no_buttons_that_change_things(browser_like, sign_in) -> None:
    await sign_in(VIEWER)
    for path in ("/console/orders", f"/console/orders/{ORDER_ID}", "/console/stock"):
        page = await browser_like.get(path)
        assert page.status_code == 200
        assert "hx-post" not in page.text
        assert "/console/stock/adjust" not in page.text


async def test_stock_is_filtered_and_adjusted(browser_like, sign_in, world: World) -> None:
    await sign_in()
    rows = await browser_like.get("/console/stock?sku=SHIRT-RED-M&warehouse_code=EAST", headers=HX)
    assert rows.text.count('scope="row"') == 1
    form = await browser_like.get("/console/stock/adjust?sku=MUG-BLUE&warehouse_code=MAIN", headers=HX)
    assert 'value="MUG-BLUE"' in form.text
    fields = {"sku": "MUG-BLUE", "warehouse_code": "MAIN", "reason": "Counted"}
    done = await browser_like.post("/console/stock/adjust", data={**fields, "delta": "5"}, headers=HX)
    assert toast_of(done) == "MUG-BLUE in MAIN changed by +5. On hand now: 7."
    assert done.headers["hx-trigger"] == "stock-changed"
    refused = await browser_like.post("/console/stock/adjust", data={**fields, "delta": "-9"}, headers=HX)
    assert toast_of(refused) == INSUFFICIENT
    world.levels.clear()
    assert "Download a template" in (await browser_like.get("/console/stock")).text


async def test_an_import_shows_what_failed_line_by_line(browser_like, sign_in, world: World) -> None:
    await sign_in()
    csv = "sku,quantity,warehouse_code\nA,5,MAIN\nB,<b>x</b>,MAIN\n"
    answer = await browser_like.post("/console/stock/import", files={"file": ("stock.csv", csv)}, headers=HX)
    assert toast_of(answer) == "1 of 2 rows imported; 1 failed and are listed below."
    assert "The quantity must be a whole number, 0 or more, not &#39;&lt;b&gt;x&lt;/b&gt;&#39;." in answer.text
    assert "<dt>Created</dt><dd>1</dd>" in answer.text
    sent = world.asked("POST", "/inventory/bulk")[0]
    assert sent.body.decode() == csv
    assert sent.headers["content-type"] == "text/csv; charset=utf-8"


async def test_a_file_refused_whole_shows_the_exact_reason(browser_like, sign_in) -> None:
    await sign_in()
    answer = await browser_like.post("/console/stock/import", files={"file": ("x.csv", "a,b\n")}, headers=HX)
    assert toast_of(answer) == "The file has no column sku: its first line must name the columns."
    template = await browser_like.get("/console/stock/import/template.csv")
    assert template.text.startswith("sku,quantity,warehouse_code\n")


async def test_an_import_over_the_limit_is_refused(browser_like, sign_in) -> None:
    await sign_in()
    files = {"file": ("big.csv", b"x" * (11 * 1024 * 1024 + 1))}
    assert (await browser_like.post("/console/stock/import", files=files, headers=HX)).status_code == 413


async def test_dead_letters_are_listed_even_when_a_service_is_away(browser_like, sign_in, world: World) -> None:
    await sign_in(OPERATOR)
    page = await browser_like.get("/console/dead-letters")
    for letter_id in (LETTER_ID, SHIPPING_LETTER_ID):
        assert f'id="letter-{letter_id}"' in page.text
    world.broken["/shipping"] = (503, {"detail": "The service is starting or away."})
    page = await browser_like.get("/console/dead-letters")
    assert f'id="letter-{LETTER_ID}"' in page.text
    assert "Shipping could not be asked: The service is starting or away." in page.text


async def test_a_dead_letter_is_shown_whole_and_requeued(browser_like, sign_in) -> None:
    await sign_in(OPERATOR)
    path = f"/console/dead-letters/orders/{LETTER_ID}"
    page = await browser_like.get(path)
    for shown in ("The body is not JSON: line 1 column 5.", "UnreadableWebhookError", TRACE, "accept.py"):
        assert shown in page.text
    assert "&#34;note&#34;: &#34;&lt;b&gt;caf\u00e9&lt;/b&gt;&#34;" in page.text
    assert "<script>alert" not in page.text
    sent = await browser_like.post(f"{path}/requeue?part=status", headers=HX)
    assert toast_of(sent) == "Sent back to orders.accept-webhook."
    assert "Requeueing" in sent.text
    assert "/status?n=1" in sent.text
    await browser_like.get(f"{path}/status?n=1", headers=HX)
    last = await browser_like.get(f"{path}/status?n=2", headers=HX)
    assert "Requeued" in last.text
    assert "hx-trigger" not in last.text
    again = await browser_like.post(f"{path}/requeue?part=status", headers=HX)
    assert toast_of(again) == "This dead letter was requeued already."


async def test_dead_letters_go_on_where_each_service_left_off(browser_like, sign_in, world: World) -> None:
    await sign_in(OPERATOR)
    for _ in range(30):
        made = uuid4()
        world.letters[made] = {**world.letters[LETTER_ID], "id": str(made)}
    page = await browser_like.get("/console/dead-letters")
    assert page.text.count('id="letter-') == 27  # the div around the list, 25 of orders, 1 of shipping
    more = html.unescape(page.text.split('hx-get="/console/dead-letters?')[1].split('"')[0])
    rows = await browser_like.get(f"/console/dead-letters?{more}", headers=HX)
    assert rows.text.count('id="letter-') == 6
    assert (await browser_like.get("/console/dead-letters?cursor=nonsense")).status_code == 422


@pytest.mark.parametrize("path", ["/console/dead-letters", f"/console/dead-letters/orders/{LETTER_ID}"])
async def test_a_merchant_is_told_what_is_not_theirs(browser_like, sign_in, path) -> None:
    await sign_in()
    answer = await browser_like.get(path)
    assert answer.status_code == 403
    assert "This needs another role; you are owner." in answer.text
