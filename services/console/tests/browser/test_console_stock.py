from playwright.async_api import Page, expect
from upstream_double import INSUFFICIENT

CSV = b"sku,quantity,warehouse_code\nSHIRT-RED-M,25,MAIN\nMUG-BLUE,many,MAIN\n"


async def test_imports_a_csv_and_shows_the_failing_row(page: Page, merchant_login, enter) -> None:
    await enter(merchant_login)
    await page.get_by_role("link", name="Stock", exact=True).click()
    await page.get_by_role("link", name="Import CSV").click()
    async with page.expect_download() as download:
        await page.get_by_role("link", name="Download a template").click()
    assert (await download.value).suggested_filename == "rappit-stock-template.csv"
    await page.get_by_label("CSV file").set_input_files({"name": "stock.csv", "mimeType": "text/csv", "buffer": CSV})
    await expect(page.locator("[data-file-name]")).to_have_text("stock.csv")
    await page.get_by_role("button", name="Import").click()
    await expect(page.locator("#toasts").get_by_role("alert")).to_contain_text("1 of 2 rows imported; 1 failed")
    row = page.locator("#import-result tbody tr")
    await expect(row).to_have_count(1)
    await expect(row).to_contain_text("The quantity must be a whole number, 0 or more, not 'many'.")


async def test_a_refused_adjustment_shows_the_exact_reason_in_a_toast(page: Page, merchant_login, enter) -> None:
    await enter(merchant_login)
    await page.get_by_role("link", name="Stock", exact=True).click()
    await page.get_by_role("link", name="Adjust MUG-BLUE in MAIN").click()
    await page.get_by_label("Change").fill("-7")
    await page.get_by_label("Reason").fill("Counted")
    await page.locator("#adjust").get_by_role("button", name="Adjust").click()
    await expect(page.locator("#toasts").get_by_role("alert").locator(".toast-message")).to_have_text(INSUFFICIENT)
    await page.get_by_label("Change").fill("5")
    await page.locator("#adjust").get_by_role("button", name="Adjust").click()
    await expect(page.locator("#toasts").get_by_role("status")).to_contain_text("On hand now: 7.")
    await expect(page.locator("tbody tr", has_text="MUG-BLUE").locator("td").nth(1)).to_have_text("7")
