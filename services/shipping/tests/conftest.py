import base64
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import aio_pika
import httpx
import pytest
import pytest_asyncio
from asgi_lifespan import LifespanManager
from rappit_common.clock import new_id, utc_now
from rappit_common.messaging.events import EVENTS_EXCHANGE
from rappit_common.service import Runtime
from rappit_common.testing.plugin import opened_sandbox, stateful_settings
from rappit_common.testing.servers import Sandbox, Servers
from rappit_common.testing.waiting import eventually
from rappit_common.web.auth import Principal, Role, Tokens
from rappit_doubles.carriers import DhlAccount, FedexAccount, carriers_app
from rappit_doubles.serving import serving
from rappit_shipping.composition import SERVICE, composed
from rappit_shipping.settings import ShippingSettings
from rappit_shipping.unit import ShippingUnit

ENCRYPTION_KEY = base64.urlsafe_b64encode(b"k" * 32).decode()
FEDEX, DHL = FedexAccount(), DhlAccount()
CREDENTIALS = {
    "fedex": {
        "client_id": FEDEX.api_key,
        "client_secret": FEDEX.secret_key,
        "account_number": FEDEX.account_number,
    },
    "dhl": {
        "api_key": DHL.client_id,
        "api_secret": DHL.client_secret,
        "username": DHL.username,
        "password": DHL.password,
        "billing_number": f"{DHL.ekp}0102",
    },
}
SHIPPER = {
    "name": "Ada Packer",
    "company": "Rappit Test GmbH",
    "line1": "Lagerstraße 12",
    "city": "Köln",
    "postal_code": "50667",
    "country_code": "DE",
    "phone": "+49 221 555010",
}
RECIPIENT = {
    "name": "Jörg Käufer",
    "company": None,
    "line1": "Hauptstraße 5",
    "line2": None,
    "city": "Berlin",
    "region": None,
    "postal_code": "10115",
    "country_code": "DE",
    "phone": None,
    "email": "joerg@example.com",
}
PARCEL = {"weight_kg": "2.4", "length_cm": "30", "width_cm": "20", "height_cm": "10"}


@dataclass
class Double:
    """The carriers, seen from behind: what they were asked, what they sold, what they shall fail at."""

    http: httpx.AsyncClient

    async def calls(self, carrier: str, operation: str = "ship") -> int:
        answer = await self.http.get("/_control/calls", params={"carrier": carrier, "operation": operation})
        return len(answer.json())

    async def sold(self, **where: str) -> list[dict[str, Any]]:
        return (await self.http.get("/_control/shipments", params=where)).json()

    async def fail(self, carrier: str, kind: str, **more: Any) -> None:
        answer = await self.http.post("/_control/faults", json={"carrier": carrier, "kind": kind, **more})
        answer.raise_for_status()

    async def mend(self) -> None:
        (await self.http.request("DELETE", "/_control/faults")).raise_for_status()


@dataclass
class Shipping:
    """The service, running whole in this process, and a queue of another service that hears its events."""

    settings: ShippingSettings
    http: httpx.AsyncClient
    tokens: Tokens
    runtime: Runtime[ShippingSettings, ShippingUnit]
    exchange: aio_pika.abc.AbstractExchange
    heard: list[dict[str, Any]] = field(default_factory=list)

    def headers(self, organization_id: UUID | None, role: Role = Role.OWNER) -> dict[str, str]:
        principal = Principal(new_id(), organization_id, role, "tester@example.com")
        token = self.tokens.issue(principal, now=utc_now(), lifetime=timedelta(minutes=5))
        return {"Authorization": f"Bearer {token}"}

    @property
    def desk(self):
        return composed(self.runtime).desk

    def runtime_carrier_http(self, carrier: str):
        return next(http for http in composed(self.runtime).connections.https if http.name.lower() == carrier)


@dataclass
class Merchant:
    """An organization of its own with a FedEx and a DHL account."""

    shipping: Shipping
    organization_id: UUID = field(default_factory=new_id)
    accounts: dict[str, str] = field(default_factory=dict)

    async def call(self, method: str, path: str, *, role: Role = Role.OWNER, **request: Any) -> httpx.Response:
        headers = self.shipping.headers(self.organization_id, role) | request.pop("headers", {})
        return await self.shipping.http.request(method, f"/shipping{path}", headers=headers, **request)

    async def connect(self, carrier: str, /, **changes: Any) -> httpx.Response:
        body = {"carrier": carrier, "name": f"My {carrier}", "credentials": CREDENTIALS[carrier], "shipper": SHIPPER}
        return await self.call("POST", "/carrier-accounts", json=body | changes)

    async def order(self, state: str = "reserved", **changes: Any) -> str:
        """Let orders tell of an order, and wait until shipping has heard of it."""
        snapshot = {
            "organization_id": str(self.organization_id),
            "order_id": str(new_id()),
            "order_version": 1,
            "state_version": 1,
            "number": "#1001",
            "state": state,
            "shipping_address": RECIPIENT,
            "allocations": [{"sku": "TEA", "warehouse_code": "BER", "quantity": 3}],
            "updated_at": utc_now().isoformat(),
        } | changes
        await self.tell(snapshot)
        wanted = (snapshot["state_version"], snapshot["state"])

        async def known():
            async with self.shipping.runtime.units.begin(self.organization_id) as unit:
                order = await unit.orders.lock(UUID(snapshot["order_id"]))
                return order is not None and (order.state_version, order.state) == wanted

        await eventually(known, what="the order")
        return snapshot["order_id"]

    async def tell(self, snapshot: dict[str, Any], event: str = "orders.order-changed.v1") -> None:
        message = aio_pika.Message(
            json.dumps(snapshot).encode(), type=event, message_id=str(new_id()), content_type="application/json"
        )
        await self.shipping.exchange.publish(message, routing_key=event)

    async def buy(self, carrier: str, order_id: str, *, key: str | None = None, **changes: Any) -> httpx.Response:
        body = {"order_id": order_id, "carrier_account_id": self.accounts[carrier], "parcels": [PARCEL]} | changes
        headers = {} if key is None else {"Idempotency-Key": key}
        return await self.call("POST", "/shipments", json=body, headers=headers)

    async def shipment(self, shipment_id: str) -> dict[str, Any]:
        return (await self.call("GET", f"/shipments/{shipment_id}")).json()

    async def void(self, shipment_id: str) -> httpx.Response:
        return await self.call("POST", f"/shipments/{shipment_id}/void")

    async def settled(self, shipment_id: str, status: str) -> dict[str, Any]:
        """Wait until the reconciler has brought a shipment to a status."""

        async def there():
            shipment = await self.shipment(shipment_id)
            assert shipment["status"] == status, shipment
            return shipment

        return await eventually(there, what=status)

    def told(self, shipment_id: str) -> list[tuple[int, str]]:
        return [(e["shipment_version"], e["status"]) for e in self.shipping.heard if e["shipment_id"] == shipment_id]

    async def breaker(self, carrier: str) -> dict[str, Any]:
        listed = (await self.call("GET", "/carriers")).json()
        return next(entry["breaker"] for entry in listed if entry["carrier"] == carrier)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def sandbox(servers: Servers) -> AsyncIterator[Sandbox]:
    """A broker of our own: these tests play queues that other services' tests declare for real."""
    async with opened_sandbox(servers, "shipping") as made:
        yield made


@pytest.fixture(scope="session")
def carrier_credentials():
    return CREDENTIALS


@pytest.fixture(scope="session")
def carriers_url():
    with serving(carriers_app()) as url:
        yield url


@pytest_asyncio.fixture(loop_scope="session")
async def double(carriers_url: str) -> AsyncIterator[Double]:
    async with httpx.AsyncClient(base_url=carriers_url, timeout=10) as http:
        (await http.post("/_control/reset")).raise_for_status()
        yield Double(http)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def settings(sandbox: Sandbox, carriers_url: str) -> ShippingSettings:
    return await stateful_settings(
        sandbox,
        ShippingSettings,
        "rappit_shipping",
        "shipping",
        encryption_key=ENCRYPTION_KEY,
        fedex_base_url=f"{carriers_url}/fedex",
        dhl_base_url=f"{carriers_url}/dhl",
        carrier_connect_timeout_s=1,
        carrier_read_timeout_s=1.5,
        carrier_total_timeout_s=5,
        breaker_open_s=0.6,
        breaker_namespace=f"test:{os.getpid()}:{new_id()}",
        reconcile_poll_s=0.05,
        reconcile_delays_s=(0.05, 0.05, 0.05),
        order_catch_up_s=0.2,
    )


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def running_shipping(settings: ShippingSettings) -> AsyncIterator[Shipping]:
    app = SERVICE.create(settings, "serve")
    connection = await aio_pika.connect(settings.rabbitmq_url.get_secret_value())
    async with (
        connection,
        LifespanManager(app, startup_timeout=15, shutdown_timeout=15) as manager,
        httpx.AsyncClient(transport=httpx.ASGITransport(manager.app), base_url="http://shipping") as http,
    ):

        async def ready() -> bool:
            return (await http.get("/health/ready")).status_code == 200

        await eventually(ready, what="readiness", within_s=60)
        inner = app
        while not hasattr(inner, "state"):
            inner = inner._app
        channel = await connection.channel()
        exchange = await channel.get_exchange(EVENTS_EXCHANGE)
        queue = await channel.declare_queue("tests.hear-shipments", exclusive=True)
        await queue.bind(exchange, routing_key="shipping.shipment-changed.v1")
        shipping = Shipping(settings, http, Tokens(settings.jwt_secret), inner.state.runtime, exchange)

        async def hear(message):
            shipping.heard.append(json.loads(message.body))

        await queue.consume(hear, no_ack=True)
        yield shipping


@pytest_asyncio.fixture(loop_scope="session")
async def shipping(running_shipping: Shipping, double: Double) -> Shipping:
    return running_shipping


@pytest_asyncio.fixture(loop_scope="session")
async def merchant(shipping: Shipping, double: Double) -> Merchant:
    made = Merchant(shipping)
    # A breaker that an earlier test left open closes with the next call that goes well.
    for carrier in ("fedex", "dhl"):
        made.accounts[carrier] = (await made.connect(carrier)).json()["id"]

        async def closed(carrier=carrier):
            state = (await made.breaker(carrier))["state"]
            if state == "half_open":
                order_id = await made.order()
                assert (await made.buy(carrier, order_id)).status_code == 201
            return state == "closed"

        await eventually(closed, what=f"{carrier}'s closed breaker")
    (await double.http.post("/_control/reset")).raise_for_status()
    return made
