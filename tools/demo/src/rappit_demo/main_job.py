"""The main job, from an empty platform to a bought label."""

import contextlib
import statistics
from dataclasses import dataclass
from pathlib import Path

import httpx
from rappit_doubles.channels.shopify import ShopifyShop
from rappit_doubles.channels.standard import StandardWebhooksSender
from rappit_doubles.channels.woo import WooStore
from rich.console import Console
from rich.panel import Panel

from rappit_demo import merchant as onboarding
from rappit_demo import orders_chapter, shipping_chapter
from rappit_demo.client import Client
from rappit_demo.expectations import Story
from rappit_demo.scene import BAD_ROWS, GOOD_SKUS, SKUS, Scene

IMPORT_LIMIT_S = 5.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a running stack is, and who operates it."""

    base_url: str
    carriers_url: str
    operator_email: str
    operator_password: str
    labels: Path


async def onboard(place: Place, story: Story, operator: Client) -> onboarding.Merchant:
    """Onboard a merchant with warehouses, a catalogue, stock, channels and carriers, and record the import."""
    story.step("Onboarding an organization with its owner, three warehouses and a catalogue of 1,000 SKUs")
    merchant = await onboarding.create_merchant(operator, place.base_url, "Demo Merchant")
    await onboarding.create_warehouses(merchant)
    await onboarding.create_catalogue(merchant, SKUS)
    story.note(f"organization {merchant.organization_id}, owner {merchant.email}")
    story.step("Importing stock: a CSV of 1,000 rows, five of them bad")
    summary = await onboarding.import_stock(merchant, onboarding.stock_csv(GOOD_SKUS, bad_rows=BAD_ROWS))
    for problem in summary["errors"]:
        story.note(f"line {problem['line']}, {problem['field']}: {problem['message']} ({problem['value']!r})")
    story.record(
        "POST /inventory/bulk, 1,000 rows",
        answer=f"200 in {summary['duration_ms']} ms",
        outcome=f"{summary['succeeded']} applied, {summary['failed']} refused and named",
        stock="10 each",
        expect=[
            ("total", 1_000, summary["total"]),
            ("succeeded", len(GOOD_SKUS), summary["succeeded"]),
            ("failed", len(BAD_ROWS), summary["failed"]),
            ("under 5 s", True, float(summary["duration_ms"]) < IMPORT_LIMIT_S * 1_000),
        ],
    )
    story.step("Connecting Shopify, WooCommerce and a Standard-Webhooks shop; a FedEx and a DHL account")
    await onboarding.connect_channels(merchant)
    await onboarding.connect_carriers(merchant)
    return merchant


async def tell(place: Place, console: Console) -> int:
    """Tell the whole story; return how many things were not as expected."""
    story = Story(console)
    place.labels.mkdir(parents=True, exist_ok=True)
    async with contextlib.AsyncExitStack() as stack:
        operator = await stack.enter_async_context(
            await Client.sign_in(place.base_url, place.operator_email, place.operator_password)
        )
        merchant = await onboard(place, story, operator)
        await stack.enter_async_context(merchant.api)
        carriers = await stack.enter_async_context(httpx.AsyncClient(base_url=place.carriers_url, timeout=30))
        await carriers.request("DELETE", "/_control/faults")
        url = {name: channel["webhook_url"] for name, channel in merchant.channels.items()}
        scene = Scene(
            base_url=place.base_url,
            story=story,
            operator=operator,
            merchant=merchant,
            carriers=carriers,
            shop=await stack.enter_async_context(
                ShopifyShop(url["shopify"], merchant.secrets["shopify"], f"{merchant.slug}.myshopify.com")
            ),
            woo=await stack.enter_async_context(WooStore(url["woocommerce"], merchant.secrets["woocommerce"])),
            standard=await stack.enter_async_context(
                StandardWebhooksSender(url["standard_webhooks"], merchant.secrets["standard_webhooks"])
            ),
            labels=place.labels,
        )
        await orders_chapter.tell(scene)
        await shipping_chapter.tell(scene)
    console.print()
    console.print(story.table())
    console.print(_ending(place, scene))
    if story.differences:
        console.print(f"[bold red]{story.differences} of {len(story.rows)} steps were not as expected.[/]")
    else:
        console.print(f"[bold green]All {len(story.rows)} steps were as expected.[/]")
    return story.differences


def _ending(place: Place, scene: Scene) -> Panel:
    times_ms = sorted(second * 1_000 for second in scene.reserved_after_s)
    merchant = scene.merchant
    return Panel(
        "\n".join(
            [
                f"Webhook to reservation, as seen through the API, {len(times_ms)} orders one after the other:",
                f"  median {statistics.median(times_ms):.0f} ms, slowest {times_ms[-1]:.0f} ms",
                "",
                f"Console       {place.base_url}",
                f"  merchant    {merchant.email}   {merchant.password}",
                f"  operator    {place.operator_email}   {place.operator_password}",
                f"APIs          {place.base_url}/orders/docs  (/inventory, /shipping, /channels, /auth likewise)",
                f"Carriers      {place.carriers_url}/_control/shipments",
                f"Labels        {place.labels}",
                "",
                "Try next: sign in to the console, requeue a dead letter, import a CSV, void the FedEx label;",
                "  .venv/bin/rappit login, then rappit orders list; make logs NAMES=orders; make ps; make down",
            ]
        ),
        title="The stack stays up",
        border_style="green",
    )
