"""8.1: what the platform refuses, a person reads word for word, in the console of the running stack."""

import asyncio
import re

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import expect
from rappit_common.testing.browser import fresh_page
from rappit_demo import merchant as onboarding
from rappit_demo import shipping_chapter
from rappit_demo.client import ApiError, until

pytestmark = pytest.mark.browser


@pytest_asyncio.fixture(loop_scope="session")
async def page(chromium, stack):
    async with fresh_page(chromium, stack.ingress_url) as opened:
        yield opened


async def sign_in(page, email, password):
    await page.goto("/")
    await page.get_by_label("E-mail").fill(email)
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_role("button", name="Sign out").wait_for()


async def enter(page, scene):
    await sign_in(page, scene.merchant.email, scene.merchant.password)


async def refusal(call):
    """Return the API's own words for what it refuses."""
    with pytest.raises(ApiError) as caught:
        await call
    assert caught.value.detail
    return caught.value.detail


def refused(page):
    return page.locator("#toasts").get_by_role("alert").locator(".toast-message")


def succeeded(page):
    return page.locator("#toasts").get_by_role("status")


async def backordered(scene, sku):
    order = scene.shop.create_order([(sku, 25, "2.00")])
    await order.deliver()
    return await scene.merchant.order_in("shopify", str(order.id), "backordered")


async def test_a_wrong_password_is_told_as_identity_words_it_and_the_right_one_shows_the_orders(page, scene):
    email = scene.merchant.email
    async with httpx.AsyncClient(base_url=scene.base_url) as anonymous:
        answer = await anonymous.post("/auth/login", json={"email": email, "password": "not the password"})
    await page.goto("/")
    await page.get_by_label("E-mail").fill(email)
    await page.get_by_label("Password").fill("not the password")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert").locator("p").first).to_have_text(answer.json()["detail"])
    await page.get_by_label("Password").fill(scene.merchant.password)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", name="Orders", exact=True)).to_be_visible()


async def test_a_reserved_order_is_read_gets_a_label_and_gives_it_back(page, scene):
    order = await shipping_chapter.reserved_order(scene, "SKU-0018")
    await enter(page, scene)
    row = page.locator("tbody tr", has_text=order["external_order_id"])
    await expect(row.locator(".badge").first).to_have_text("Reserved")
    await row.get_by_role("link").click()
    await expect(page.get_by_role("heading", name=f"Order {order['number']}")).to_be_visible()
    progress = page.locator("#order-progress")
    [line], [allocation] = order["lines"], order["allocations"]
    await expect(progress.get_by_role("row", name=line["name"])).to_contain_text(line["unit_price"])
    stored = progress.get_by_role("row", name=allocation["warehouse_code"])
    await expect(stored).to_contain_text(f"{allocation['sku']}{allocation['warehouse_code']}{allocation['quantity']}")
    told = [entry["message"] for entry in order["timeline"] if entry["kind"] != "state_changed"]
    for message in told:
        await expect(progress.locator(".timeline")).to_contain_text(message)

    await page.get_by_label("Carrier account").select_option(label="Demo dhl")
    await page.get_by_label("Weight in kg").fill("1.5")
    await page.get_by_role("button", name="Buy label").click()
    await expect(succeeded(page)).to_contain_text("Label bought: DHL")
    await expect(progress.locator(".badge").first).to_have_text("Ready to ship")
    [shipment] = await scene.merchant.api.items("/shipping/shipments", order_id=order["id"])
    assert shipment["parcels"][0]["weight_kg"] == "1.5"
    await expect(progress.locator(".shipment")).to_contain_text(shipment["tracking_number"])
    async with page.expect_download() as download:
        await page.get_by_role("link", name="Label", exact=True).click()
    path = await (await download.value).path()
    assert (
        await asyncio.to_thread(path.read_bytes)
        == (await scene.merchant.api.http.get(f"/shipping/shipments/{shipment['id']}/label")).content
    )

    page.on("dialog", lambda dialog: dialog.accept())
    await page.get_by_role("button", name="Void", exact=True).click()
    await expect(page.locator("#toasts")).to_contain_text("The label is voided.")
    await expect(progress.locator(".shipment")).to_contain_text("Voided")
    await expect(progress.locator(".badge").first).to_have_text("Reserved")
    assert (await scene.merchant.api.get(f"/shipping/shipments/{shipment['id']}"))["status"] == "voided"


async def test_a_label_for_a_backordered_order_is_refused_in_the_apis_words(page, scene):
    order = await backordered(scene, "SKU-0019")
    exact = await refusal(shipping_chapter.purchase(scene, "dhl", order))
    assert "is backordered" in exact
    await enter(page, scene)
    await page.get_by_label("State").select_option("backordered")
    await page.get_by_role("link", name=order["number"], exact=True).click()
    await expect(page.locator("#order-progress .notice")).to_have_text(order["hold"]["message"])
    await page.get_by_role("button", name="Buy label").click()
    await expect(refused(page)).to_have_text(exact)
    await expect(page.locator("#order-progress .badge").first).to_have_text("Backordered")


async def test_more_than_is_available_cannot_be_taken_out_and_the_toast_says_why(page, scene):
    body = {"sku": "SKU-0020", "warehouse_code": "HAM", "delta": -70, "reason": "counted"}
    exact = await refusal(scene.merchant.api.post("/inventory/adjustments", body))
    assert exact == "Insufficient stock for SKU SKU-0020: 70 requested, 10 available in HAM."
    await enter(page, scene)
    await page.get_by_role("link", name="Stock", exact=True).click()
    await page.get_by_role("link", name="Adjust SKU-0020 in HAM").click()
    form = page.locator("#adjust")
    await form.get_by_label("Change").fill("-70")
    await form.get_by_label("Reason").fill("counted")
    await form.get_by_role("button", name="Adjust").click()
    await expect(refused(page)).to_have_text(exact)
    await form.get_by_label("Change").fill("5")
    await form.get_by_role("button", name="Adjust").click()
    await expect(succeeded(page)).to_contain_text("On hand now: 15.")
    await expect(page.locator("tbody tr", has_text="SKU-0020").locator("td").nth(1)).to_have_text("15")
    assert await scene.merchant.level("SKU-0020") == {"total": 15, "reserved": 0, "available": 15}


async def test_an_import_shows_what_was_taken_and_each_row_to_mend(page, scene):
    csv = "sku,quantity,warehouse_code\nSKU-0001,25,BER\nNOPE,1,BER\nSKU-0002,many,BER\nSKU-0003,4,MARS\n"
    exact = await onboarding.import_stock(scene.merchant, csv)
    await enter(page, scene)
    await page.goto("/console/stock/import")
    upload = {"name": "stock.csv", "mimeType": "text/csv", "buffer": csv.encode()}
    await page.get_by_label("CSV file").set_input_files(upload)
    await page.get_by_role("button", name="Import", exact=True).click()
    await expect(refused(page)).to_have_text("1 of 4 rows imported; 3 failed and are listed below.")
    rows = page.locator("#import-result tbody tr")
    await expect(rows).to_have_count(3)
    for row, error in zip(await rows.all(), exact["errors"], strict=True):
        await expect(row.locator("th, td")).to_have_text(
            [str(error["line"]), error["field"], error["message"], error["value"]]
        )


async def test_an_operator_reads_a_dead_letter_and_sends_it_back(page, scene, stack):
    await scene.shop.deliver("orders/create", b'{"id": 12, "line_items": [{"sku"')

    async def dead(failures):
        letters = (await scene.operator.get("/orders/ops/dead-letters", status="dead"))["items"]
        ours = [letter for letter in letters if letter["organization_id"] == scene.merchant.organization_id]
        return next((letter for letter in ours if letter["failures"] == failures), None)

    letter = await until(lambda: dead(1), what="the dead letter")
    await sign_in(page, stack.operator_email, stack.operator_password)
    await expect(page.get_by_role("heading", name="Dead letters")).to_be_visible()
    await page.get_by_label("Service").select_option("orders")
    await page.locator(f"#letter-{letter['id']}").get_by_role("link").click()
    status = page.locator("#letter-status")
    await expect(status.locator(".notice")).to_contain_text(letter["error_message"])
    await expect(page.get_by_label("Body")).to_contain_text('"line_items": [{"sku"')
    await page.get_by_role("button", name="Requeue", exact=True).click()
    await expect(succeeded(page)).to_contain_text("Sent back to orders.accept-webhook.")
    # The body is as bad as before, so what the badge says next depends on how soon it fails again; who did it stays.
    await expect(status).to_contain_text(f"requeued by {stack.operator_email}")
    await until(lambda: dead(2), what="the dead letter to come back with its count raised")
    await page.reload()
    await expect(status.locator(".badge")).to_have_text("Dead")
    await expect(status.locator(".figures")).to_have_text(re.compile(r"Failures\s*2"))
