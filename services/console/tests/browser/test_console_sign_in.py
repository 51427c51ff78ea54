import re

from playwright.async_api import Page, expect
from upstream_double import WRONG


async def test_signs_in_out_and_is_told_of_a_wrong_password(page: Page, merchant_login, enter) -> None:
    await page.goto("/console/stock")
    await expect(page).to_have_url(re.compile("/console/sign-in"))
    await page.get_by_label("E-mail").fill(merchant_login.email)
    await page.get_by_label("Password").fill("not the password")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text(WRONG)
    await page.get_by_label("Password").fill(merchant_login.password)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Stock", exact=True)).to_be_visible()
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    await page.goto("/console/orders")
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


async def test_operators_begin_at_the_dead_letters(page: Page, operator_login, enter) -> None:
    await enter(operator_login)
    await expect(page.get_by_role("heading", name="Dead letters")).to_be_visible()
    await expect(page.get_by_role("link", name="Orders")).to_have_count(0)
