from playwright.async_api import Page, expect
from upstream_double import BACKORDERED


async def test_finds_an_order_buys_its_label_and_voids_it(page: Page, merchant_login, enter) -> None:
    await enter(merchant_login)
    await page.get_by_role("button", name="Load more").click()
    await expect(page.locator("tbody tr")).to_have_count(32)
    await page.get_by_label("Order id in the shop").fill("5581001")
    await expect(page.locator("tbody tr")).to_have_count(1)
    await page.get_by_role("link", name="1001", exact=True).click()
    await expect(page.get_by_role("heading", name="Order 1001")).to_be_visible()
    await page.get_by_label("Carrier account").select_option(label="FedEx main")
    await page.get_by_label("Weight in kg").fill("1.5")
    await page.get_by_role("button", name="Buy label").click()
    await expect(page.get_by_role("status").first).to_contain_text("Label bought: FedEx 794600000012.")
    await expect(page.locator("#order-progress")).to_contain_text("Ready to ship")
    async with page.expect_download() as download:
        await page.get_by_role("link", name="Label", exact=True).click()
    assert (await download.value).suggested_filename.endswith(".pdf")
    page.on("dialog", lambda dialog: dialog.accept())
    await page.get_by_role("button", name="Void", exact=True).click()
    await expect(page.locator("#toasts")).to_contain_text("The label is voided.")
    await expect(page.locator(".shipment")).to_contain_text("Voided")


async def test_a_refused_label_shows_the_exact_reason_in_a_toast(page: Page, merchant_login, enter) -> None:
    await enter(merchant_login)
    await page.get_by_label("State").select_option("backordered")
    await page.get_by_role("link", name="1002", exact=True).click()
    await page.get_by_label("Weight in kg").fill("2")
    key = await page.locator("#label-key").input_value()
    await page.get_by_role("button", name="Buy label").click()
    toast = page.locator("#toasts").get_by_role("alert")
    await expect(toast.locator(".toast-message")).to_have_text(BACKORDERED)
    await expect(page.locator("#label-key")).not_to_have_value(key)
    await page.keyboard.press("Escape")
    await expect(toast).to_have_count(0)
