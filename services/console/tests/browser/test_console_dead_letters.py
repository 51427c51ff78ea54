from playwright.async_api import Page, expect


async def test_a_dead_letter_is_read_and_requeued(page: Page, operator_login, enter) -> None:
    await enter(operator_login)
    await page.get_by_label("Service").select_option("orders")
    await expect(page.locator("tbody tr")).to_have_count(1)
    await page.get_by_role("link", name="gateway.webhook-received.v1").click()
    await expect(page.get_by_label("Body")).to_contain_text('"id": 1001')
    await expect(page.get_by_label("Stack")).to_contain_text("Traceback")
    await page.get_by_role("button", name="Requeue").click()
    await expect(page.locator("#toasts").get_by_role("status")).to_contain_text("Sent back to orders.accept-webhook.")
    await expect(page.locator("#letter-status .badge")).to_have_text("Requeued")


async def test_a_row_is_requeued_in_the_list_and_follows_its_status(page: Page, operator_login, enter) -> None:
    await enter(operator_login)
    await page.locator("tbody tr", has_text="shipping.accept-webhook").get_by_role("button").click()
    row = page.locator("tbody tr", has_text="shipping.accept-webhook")
    await expect(row.locator(".badge")).to_have_text("Requeued")
    await expect(row.get_by_role("button")).to_have_count(0)
