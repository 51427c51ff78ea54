"""Onboarding a merchant through the public APIs: organization, owner, warehouses, stock, channels, carriers."""

import io
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rappit_doubles.carriers.tokens import DhlAccount, FedexAccount

from rappit_demo.client import Client, until

SKUS = 1_000
ROWS_PER_CALL = 500
WAREHOUSES = (
    ("BER", "Berlin", "DE", 1),
    ("HAM", "Hamburg", "DE", 2),
    ("LYO", "Lyon", "FR", 3),
)
SHIPPER = {
    "name": "Demo Merchant Warehouse",
    "company": "Demo Merchant",
    "line1": "Sonnenallee 1",
    "line2": None,
    "city": "Berlin",
    "region": None,
    "postal_code": "12047",
    "country_code": "DE",
    "phone": "+493012345678",
    "email": "warehouse@demo.example",
}
_FEDEX, _DHL = FedexAccount(), DhlAccount()
FEDEX_CREDENTIALS = {
    "client_id": _FEDEX.api_key,
    "client_secret": _FEDEX.secret_key,
    "account_number": _FEDEX.account_number,
}
DHL_CREDENTIALS = {
    "api_key": _DHL.client_id,
    "api_secret": _DHL.client_secret,
    "username": _DHL.username,
    "password": _DHL.password,
    # The customer's number, the product (01: parcel) and the participation.
    "billing_number": f"{_DHL.ekp}0101",
}


@dataclass(slots=True)
class Merchant:
    """An onboarded organization and the way into it."""

    organization_id: str
    slug: str
    email: str
    password: str
    api: Client
    channels: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    secrets: dict[str, str] = field(default_factory=dict[str, str])
    carrier_accounts: dict[str, str] = field(default_factory=dict[str, str])

    async def level(self, sku: str) -> dict[str, int]:
        """Return a SKU's stock over all warehouses: ``total``, ``reserved`` and ``available``."""
        rows = await self.api.items("/inventory/levels", sku=sku)
        names = ("total", "reserved", "available")
        return {name: sum(int(row[f"quantity_{name}"]) for row in rows) for name in names}

    async def find_order(self, channel: str, external_order_id: str) -> dict[str, Any] | None:
        """Return the order a channel calls by this id, whole, or None when it is not there."""
        rows = await self.api.items(
            "/orders", channel_id=self.channels[channel]["id"], external_order_id=external_order_id
        )
        return await self.api.get(f"/orders/{rows[0]['id']}") if rows else None

    async def order_in(self, channel: str, external_order_id: str, *states: str) -> dict[str, Any]:
        """Wait until an order is in one of ``states`` and return it.

        Raises:
            TimeoutError: It was not in time; says where it was.
        """
        seen: dict[str, Any] | None = None

        async def arrived() -> dict[str, Any] | None:
            nonlocal seen
            seen = await self.find_order(channel, external_order_id)
            return seen if seen and seen["state"] in states else None

        try:
            return await until(arrived, what=f"order {external_order_id} to be {' or '.join(states)}")
        except TimeoutError as error:
            raise TimeoutError(f"{error}; it was {seen['state'] if seen else 'not known'}") from None


async def create_merchant(operator: Client, base_url: str, name: str) -> Merchant:
    """Make an organization with its owner, and sign in as the owner."""
    slug = f"{name.lower().replace(' ', '-')}-{secrets.token_hex(3)}"
    email, password = f"owner@{slug}.example", secrets.token_urlsafe(18)
    organization = await operator.post(
        "/organizations",
        {"name": name, "slug": slug, "owner": {"email": email, "name": "Olivia Owner", "password": password}},
    )
    api = await Client.sign_in(base_url, email, password)
    return Merchant(organization["id"], slug, email, password, api)


async def create_warehouses(merchant: Merchant) -> None:
    """Make three warehouses, in order of priority."""
    for code, name, country_code, priority in WAREHOUSES:
        await merchant.api.post(
            "/inventory/warehouses",
            {"code": code, "name": name, "country_code": country_code, "priority": priority},
        )


async def create_catalogue(merchant: Merchant, skus: Sequence[str]) -> None:
    """Make the SKUs, a few hundred a call."""
    for start in range(0, len(skus), ROWS_PER_CALL):
        items = [{"sku": sku, "name": f"Product {sku}"} for sku in skus[start : start + ROWS_PER_CALL]]
        await merchant.api.post("/inventory/skus/bulk", {"items": items})


def stock_csv(skus: Sequence[str], *, bad_rows: Sequence[str] = ()) -> str:
    """Return a stock file: ten of each SKU in one of the warehouses, and the bad rows among them."""
    out = io.StringIO()
    out.write("sku,quantity,warehouse_code\r\n")
    for index, sku in enumerate(skus):
        out.write(f"{sku},10,{WAREHOUSES[index % len(WAREHOUSES)][0]}\r\n")
    for row in bad_rows:
        out.write(f"{row}\r\n")
    return out.getvalue()


async def import_stock(merchant: Merchant, csv: str) -> dict[str, Any]:
    """Send a stock file; return the summary."""
    answer = await merchant.api.http.post(
        "/inventory/bulk", content=csv.encode(), headers={"Content-Type": "text/csv; charset=utf-8"}
    )
    answer.raise_for_status()
    return answer.json()


async def connect_channels(merchant: Merchant) -> None:
    """Connect a Shopify, a WooCommerce and a Standard-Webhooks channel; their secrets are kept for the double."""
    wanted: tuple[tuple[str, dict[str, str]], ...] = (
        ("shopify", {"shop_domain": f"{merchant.slug}.myshopify.com", "secret": secrets.token_hex(32)}),
        ("woocommerce", {"secret": secrets.token_urlsafe(40)}),
        ("standard_webhooks", {}),
    )
    for provider, given in wanted:
        channel = await merchant.api.post("/channels", {"provider": provider, "name": f"Demo {provider}", **given})
        merchant.channels[provider] = channel
        # A secret that we did not bring is generated, and shown in this one answer only.
        merchant.secrets[provider] = given.get("secret") or channel["secret"]


async def connect_carriers(merchant: Merchant) -> None:
    """Connect a FedEx and a DHL account."""
    for carrier, credentials in (("fedex", FEDEX_CREDENTIALS), ("dhl", DHL_CREDENTIALS)):
        account = await merchant.api.post(
            "/shipping/carrier-accounts",
            {"carrier": carrier, "name": f"Demo {carrier}", "credentials": credentials, "shipper": SHIPPER},
        )
        merchant.carrier_accounts[carrier] = account["id"]
