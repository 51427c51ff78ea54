"""One stack for all journeys: every service as its own process, real servers, doubles of carriers and channels."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from rappit_common.testing.servers import Servers
from rappit_demo import merchant as onboarding
from rappit_demo.client import Client
from rappit_demo.expectations import Story
from rappit_demo.scene import Scene
from rappit_devstack import state
from rappit_devstack.servers import ServerUrls
from rappit_devstack.stack import Stack, running
from rappit_doubles.channels.shopify import ShopifyShop
from rappit_doubles.channels.standard import StandardWebhooksSender
from rappit_doubles.channels.woo import WooStore
from rich.console import Console

STACK_TIMEOUT_S = 180
SKUS = [f"SKU-{number:04}" for number in range(1, 41)]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run all journeys in one worker, since they share the stack, and give the first one time to start it."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.server)
            item.add_marker(pytest.mark.xdist_group("e2e"))
            item.add_marker(pytest.mark.timeout(STACK_TIMEOUT_S))


@pytest.fixture(scope="session")
def stack(servers: Servers) -> Iterator[Stack]:
    urls = ServerUrls(servers.postgres_url, servers.rabbitmq_url, servers.management_url, servers.redis_url)
    with running(state.home() / "e2e", urls) as started:
        yield started


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def operator(stack: Stack) -> AsyncIterator[Client]:
    async with await Client.sign_in(stack.ingress_url, stack.operator_email, stack.operator_password) as client:
        yield client


async def onboard(stack: Stack, operator: Client, name: str) -> onboarding.Merchant:
    merchant = await onboarding.create_merchant(operator, stack.ingress_url, name)
    await onboarding.create_warehouses(merchant)
    await onboarding.create_catalogue(merchant, SKUS)
    summary = await onboarding.import_stock(merchant, onboarding.stock_csv(SKUS))
    assert summary["failed"] == 0, summary
    await asyncio.gather(onboarding.connect_channels(merchant), onboarding.connect_carriers(merchant))
    return merchant


@pytest.fixture
def make_merchant(stack: Stack, operator: Client) -> Callable[[str], Awaitable[onboarding.Merchant]]:
    """Onboard one more merchant, by name."""
    return functools.partial(onboard, stack, operator)


@pytest_asyncio.fixture(loop_scope="session")
async def scene(stack: Stack, operator: Client, tmp_path: Path) -> AsyncIterator[Scene]:
    """A fresh merchant with ten of each SKU, three channels and two carriers."""
    merchant = await onboard(stack, operator, "Journey")
    url = {name: channel["webhook_url"] for name, channel in merchant.channels.items()}
    async with contextlib.AsyncExitStack() as opened:
        await opened.enter_async_context(merchant.api)
        yield Scene(
            base_url=stack.ingress_url,
            story=Story(Console(quiet=True)),
            operator=operator,
            merchant=merchant,
            carriers=await opened.enter_async_context(httpx.AsyncClient(base_url=stack.carrier_double_url)),
            shop=await opened.enter_async_context(
                ShopifyShop(url["shopify"], merchant.secrets["shopify"], f"{merchant.slug}.myshopify.com")
            ),
            woo=await opened.enter_async_context(WooStore(url["woocommerce"], merchant.secrets["woocommerce"])),
            standard=await opened.enter_async_context(
                StandardWebhooksSender(url["standard_webhooks"], merchant.secrets["standard_webhooks"])
            ),
            labels=tmp_path,
        )
