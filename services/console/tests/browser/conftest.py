"""A real browser. The same tests serve any stack: point the fixtures below at it."""

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from console_kit import console_settings
from playwright.async_api import Browser, Page, async_playwright
from rappit_console.api import create_console
from upstream_double import MERCHANT, OPERATOR, PASSWORD, Served, World

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
STEP_TIMEOUT_MS = 10_000


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


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    path = os.environ.get("RAPPIT_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.fail("browser tests need Chromium: set RAPPIT_CHROMIUM, or sudo apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(chromium: Browser, console_url: str) -> AsyncIterator[Page]:
    """A page of a fresh profile; errors of the script or of the content policy fail the test."""
    context = await chromium.new_context(base_url=console_url, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(STEP_TIMEOUT_MS)
    opened = await context.new_page()
    troubles: list[str] = []
    opened.on("pageerror", lambda error: troubles.append(str(error)))
    opened.on("console", lambda line: troubles.append(line.text) if "Content Security Policy" in line.text else None)
    yield opened
    await context.close()
    assert troubles == []


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
