"""One Chromium a test process, for every browser test in it. Loaded by the root ``conftest.py``."""

import contextlib
import os
import shutil
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
_NAMES = ("chromium", "chromium-browser", "google-chrome")
# Two cores may be busy with servers, services and another worker: a step is slow long before it is broken.
STEP_TIMEOUT_MS = 20_000
START_TIMEOUT_MS = 60_000


def _program() -> str:
    """Return the browser's path; where ``make test`` could have none, skip with its reason."""
    given = os.environ.get("RAPPIT_CHROMIUM")
    if not given and (reason := os.environ.get("RAPPIT_NO_CHROMIUM")):
        pytest.skip(f"no browser: {reason}")
    found = given or next((path for name in _NAMES if (path := shutil.which(name))), None)
    if not found:
        pytest.fail("this test needs Chromium: run `make test`, which fetches one; or set RAPPIT_CHROMIUM to its path")
    return found


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator["Browser"]:
    """A started Chromium; tests open contexts in it, which are as apart as two people's browsers."""
    program = _program()
    # Here and not above, because this module is loaded for every test run and its import takes a good while.
    from playwright.async_api import async_playwright, expect  # noqa: PLC0415

    expect.set_options(timeout=STEP_TIMEOUT_MS)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=_FLAGS, timeout=START_TIMEOUT_MS)
        yield browser
        await browser.close()


@contextlib.asynccontextmanager
async def fresh_page(browser: "Browser", base_url: str) -> AsyncGenerator["Page"]:
    """Open a page of a fresh profile; a script's error or a breach of the content policy fails the test at its end."""
    context = await browser.new_context(base_url=base_url, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(STEP_TIMEOUT_MS)
    opened = await context.new_page()
    troubles: list[str] = []
    opened.on("pageerror", lambda error: troubles.append(str(error)))
    opened.on("console", lambda line: troubles.append(line.text) if "Content Security Policy" in line.text else None)
    try:
        yield opened
    finally:
        await context.close()
    assert troubles == [], troubles  # noqa: S101 - asserting is what a test's fixture does
