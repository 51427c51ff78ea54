"""A real browser before the console, and the double of the APIs behind it."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from console_kit import console_settings
from playwright.async_api import Browser, Page
from rappit_common.testing.browser import fresh_page
from rappit_console.api import create_console
from upstream_double import MERCHANT, OPERATOR, PASSWORD, Served, World


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run all of them in one worker, so that one Chromium is started for them and not one in each."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.xdist_group("console-browser"))


@dataclass(frozen=True)
class Login:
    """Who signs in."""

    email: str
    password: str


@pytest.fixture(scope="session")
def console_url(upstream_url: str) -> Iterator[str]:
    with Served(create_console(console_settings(upstream_url))) as url:
        yield url


@pytest.fixture
def merchant_login(world: World) -> Login:
    return Login(MERCHANT, PASSWORD)


@pytest.fixture
def operator_login(world: World) -> Login:
    return Login(OPERATOR, PASSWORD)


@pytest_asyncio.fixture(loop_scope="session")
async def page(chromium: Browser, console_url: str) -> AsyncIterator[Page]:
    async with fresh_page(chromium, console_url) as opened:
        yield opened


@pytest.fixture
def enter(page: Page):
    """Sign in by hand."""

    async def act(login: Login) -> None:
        await page.goto("/")
        await page.get_by_label("E-mail").fill(login.email)
        await page.get_by_label("Password").fill(login.password)
        await page.get_by_role("button", name="Sign in").click()
        await page.get_by_role("button", name="Sign out").wait_for()

    return act
