"""What every chapter of the story shares."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from rappit_doubles.channels.shopify import ShopifyShop
from rappit_doubles.channels.standard import StandardWebhooksSender
from rappit_doubles.channels.woo import WooStore

from rappit_demo.client import Client
from rappit_demo.expectations import Story
from rappit_demo.merchant import Merchant

SKUS = [f"SKU-{number:04}" for number in range(1, 1_001)]
# Rows of the stock file that must be refused, each for its own reason.
BAD_ROWS = ("NO-SUCH-SKU,5,BER", "SKU-1000,-3,BER", "SKU-1000,many,BER", "SKU-1000,4,MARS", "SKU-0001,7,BER")
GOOD_SKUS = SKUS[: 1_000 - len(BAD_ROWS)]


@dataclass(slots=True)
class Scene:
    """The people and places of the story.

    Attributes:
        base_url: The ingress.
        story: Where everything is recorded.
        operator: The platform's operator.
        merchant: Whose orders these are.
        carriers: The carriers' double, to play faults and to ask what it saw.
        shop, woo, standard: The channels' doubles, each with its secret.
        labels: Where label files are written.
        reserved_after_s: From sending a webhook to the order seen reserved, for each order that went straight through.
    """

    base_url: str
    story: Story
    operator: Client
    merchant: Merchant
    carriers: httpx.AsyncClient
    shop: ShopifyShop
    woo: WooStore
    standard: StandardWebhooksSender
    labels: Path
    reserved_after_s: list[float] = field(default_factory=list[float])

    async def stock_line(self, sku: str, before: dict[str, int]) -> str:
        """Return a SKU's stock before and now, as the table shows it."""
        now = await self.merchant.level(sku)
        return "\n".join([f"{sku}", *(f"{name} {before[name]} → {now[name]}" for name in ("available", "reserved"))])

    async def carrier_calls(self, carrier: str, operation: str) -> int:
        """Return how many calls of an operation a carrier has received."""
        answer = await self.carriers.get(
            "/_control/calls", params={"carrier": carrier, "operation": operation, "limit": 1_000}
        )
        answer.raise_for_status()
        return len(answer.json())


def statuses(answers: list[httpx.Response]) -> str:
    """Return the statuses of several answers, in short: ``5 of 200``."""
    seen = [answer.status_code for answer in answers]
    return ", ".join(
        f"{seen.count(status)} of {status}" if len(seen) > 1 else str(status) for status in sorted(set(seen))
    )


def short(order: dict[str, Any]) -> str:
    """Return an order in a word or two."""
    return f"{order['state']} (v{order['order_version']})"
