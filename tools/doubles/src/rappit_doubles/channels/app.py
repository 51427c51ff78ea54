"""The channels' application: play shops by hand over HTTP, and record what is pushed back to them."""

import itertools
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any, Final, Literal, TypeAlias, TypedDict

import httpx
from fastapi import APIRouter, FastAPI, HTTPException, Request
from pydantic import BaseModel, Field

from rappit_doubles.channels.shopify import DEFAULT_DOMAIN, ShopifyOrder, ShopifyShop
from rappit_doubles.channels.standard import GenericHmacSender, StandardOrder, StandardWebhooksSender
from rappit_doubles.channels.values import Address, Customer
from rappit_doubles.channels.woo import DEFAULT_SOURCE, WebhookDisabledError, WooOrder, WooStore
from rappit_doubles.clock import Clock, now_utc
from rappit_doubles.health import health_router

MAX_SHOPS: Final = 1_000
MAX_ORDERS: Final = 10_000
MAX_PUSHES: Final = 1_000
MAX_PUSH_CHARS: Final = 20_000

Shop: TypeAlias = ShopifyShop | WooStore | StandardWebhooksSender | GenericHmacSender
Order: TypeAlias = ShopifyOrder | WooOrder | StandardOrder


class NewShop(BaseModel, extra="forbid"):
    """A shop to play. `identity` is Shopify's shop domain or Woo's source address."""

    url: str = Field(pattern=r"^https?://", max_length=2_000)
    secret: str = Field(min_length=1, max_length=500)
    identity: str | None = Field(None, max_length=300)
    currency: str = Field("EUR", pattern=r"^[A-Z]{3}$")


class OrderLine(BaseModel, extra="forbid"):
    """One line to order."""

    sku: str | None = Field(None, max_length=200)
    quantity: int = Field(ge=1, le=1_000_000)
    price: str = Field("10.00", pattern=r"^[0-9]{1,9}(\.[0-9]{1,4})?$")


class NewOrder(BaseModel, extra="forbid"):
    """An order to create; customer and address fall back to a made-up person in Berlin."""

    lines: list[OrderLine] = Field(min_length=1, max_length=500)
    customer: Customer | None = None
    address: Address | None = None
    deliver: bool = True


class Edit(BaseModel, extra="forbid"):
    """A change of lines, named by SKU."""

    quantities: dict[str, int] = Field(default_factory=dict)
    remove: list[str] = Field(default_factory=list)
    add: list[OrderLine] = Field(default_factory=list[OrderLine])
    deliver: bool = True


class DeliverOrder(BaseModel, extra="forbid"):
    """How to deliver an order; see the library's `deliver`."""

    topic: str | None = Field(None, max_length=100)
    times: int = Field(1, ge=1, le=1_000)
    concurrently: bool = False
    webhook_id: str | None = Field(None, max_length=200)
    forge: bool = False
    body_override: str | None = Field(None, max_length=1_000_000)


class Shared(TypedDict):
    """What every kind of shop is opened with here."""

    currency: str
    clock: Clock
    client: httpx.AsyncClient


class ChannelsBoard:
    """The shops in play, their orders, and what was pushed to them. In memory and bounded."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._client = httpx.AsyncClient()
        self._shops: dict[str, Shop] = {}
        self._orders: dict[tuple[str, str], Order] = {}
        self._pushes: dict[str, deque[dict[str, Any]]] = {}
        self._ids = itertools.count(1)

    def router(self) -> APIRouter:
        """The routes, below `/shops`."""
        router = APIRouter(prefix="/shops", tags=["shops"])
        router.add_api_route("", self.list_shops, methods=["GET"])
        router.add_api_route("/{kind}", self.add_shop, methods=["POST"], status_code=201)
        router.add_api_route("/{shop_id}/orders", self.add_order, methods=["POST"], status_code=201)
        router.add_api_route("/{shop_id}/orders/{order_id}", self.read_order, methods=["GET"])
        router.add_api_route("/{shop_id}/orders/{order_id}/edit", self.edit_order, methods=["POST"])
        router.add_api_route("/{shop_id}/orders/{order_id}/cancel", self.cancel_order, methods=["POST"])
        router.add_api_route("/{shop_id}/orders/{order_id}/deliver", self.deliver_order, methods=["POST"])
        router.add_api_route("/{shop_id}/deliveries", self.list_deliveries, methods=["GET"])
        router.add_api_route("/{shop_id}/pushes", self.list_pushes, methods=["GET"])
        router.add_api_route("/{shop_id}/api/{path:path}", self.push, methods=["GET", "POST", "PUT", "DELETE"])
        return router

    async def aclose(self) -> None:
        """Close the connections to the receivers."""
        await self._client.aclose()

    async def list_shops(self) -> list[dict[str, str]]:
        """The shops in play."""
        return [{"id": shop_id, "url": shop.url} for shop_id, shop in self._shops.items()]

    async def add_shop(self, kind: Literal["shopify", "woo", "standard", "generic"], new: NewShop) -> dict[str, str]:
        """Open a shop that sends to `url`; what is pushed to `/shops/{id}/api/…` is recorded."""
        if len(self._shops) >= MAX_SHOPS:
            raise HTTPException(409, f"There are {MAX_SHOPS} shops already.")
        shared = Shared(currency=new.currency, clock=self._clock, client=self._client)
        try:
            shop: Shop
            if kind == "shopify":
                domain = new.identity or DEFAULT_DOMAIN
                shop = ShopifyShop(new.url, new.secret, domain, **shared)
            elif kind == "woo":
                source = new.identity or DEFAULT_SOURCE
                shop = WooStore(new.url, new.secret, source, **shared)
            elif kind == "generic":
                shop = GenericHmacSender(new.url, new.secret, **shared)
            else:
                shop = StandardWebhooksSender(new.url, new.secret, **shared)
        except ValueError as wrong:
            raise HTTPException(422, str(wrong)) from None
        shop_id = f"{kind}-{next(self._ids)}"
        self._shops[shop_id] = shop
        self._pushes[shop_id] = deque(maxlen=MAX_PUSHES)
        return {"id": shop_id}

    async def add_order(self, shop_id: str, new: NewOrder) -> dict[str, Any]:
        """Create an order, and deliver it unless told not to."""
        if len(self._orders) >= MAX_ORDERS:
            raise HTTPException(409, f"There are {MAX_ORDERS} orders already.")
        lines = [(line.sku, line.quantity, line.price) for line in new.lines]
        order = self._shop(shop_id).create_order(lines, new.customer, new.address)
        self._orders[shop_id, str(order.id)] = order
        return await self._told(shop_id, order, deliver=new.deliver)

    async def read_order(self, shop_id: str, order_id: str) -> dict[str, Any]:
        """The order as its next delivery would carry it."""
        return self._order(shop_id, order_id).payload()

    async def edit_order(self, shop_id: str, order_id: str, edit: Edit) -> dict[str, Any]:
        """Change lines, and deliver the change unless told not to."""
        order = self._order(shop_id, order_id)
        added = [(line.sku, line.quantity, line.price) for line in edit.add]
        try:
            order.edit(dict(edit.quantities.items()), remove=edit.remove, add=added)
        except (LookupError, ValueError) as refused:
            raise HTTPException(409, str(refused)) from None
        return await self._told(shop_id, order, deliver=edit.deliver)

    async def cancel_order(self, shop_id: str, order_id: str, *, deliver: bool = True) -> dict[str, Any]:
        """Cancel, and deliver it unless told not to."""
        order = self._order(shop_id, order_id)
        order.cancel()
        return await self._told(shop_id, order, deliver=deliver)

    async def deliver_order(self, shop_id: str, order_id: str, how: DeliverOrder) -> dict[str, Any]:
        """Deliver the order as it is now."""
        order = self._order(shop_id, order_id)
        override = None if how.body_override is None else how.body_override.encode()
        settings = how.model_dump(exclude={"body_override", "topic"})
        try:
            answers = await order.deliver(how.topic, body_override=override, **settings)
        except (httpx.TransportError, WebhookDisabledError) as failed:
            return {"statuses": [], "error": f"{type(failed).__name__}: {failed}"}
        return {"statuses": [answer.status_code for answer in answers], "error": None}

    async def list_deliveries(self, shop_id: str) -> list[dict[str, Any]]:
        """What the shop sent and what came back, oldest first."""
        return [asdict(delivery) for delivery in self._shop(shop_id).deliveries]

    async def push(self, shop_id: str, path: str, request: Request) -> dict[str, Any]:
        """Record a call to the shop's own API (a fulfilment, a stock level) and thank for it."""
        self._shop(shop_id)
        body = (await request.body()).decode("utf-8", "replace")[:MAX_PUSH_CHARS]
        self._pushes[shop_id].append(
            {"method": request.method, "path": path, "query": request.url.query, "body": body, "at": self._clock()}
        )
        return {}

    async def list_pushes(self, shop_id: str) -> list[dict[str, Any]]:
        """What was pushed to the shop, oldest first."""
        self._shop(shop_id)
        return [*self._pushes[shop_id]]

    async def _told(self, shop_id: str, order: Order, *, deliver: bool) -> dict[str, Any]:
        sent = (
            await self.deliver_order(shop_id, str(order.id), DeliverOrder.model_validate({}))
            if deliver
            else {"statuses": []}
        )
        return {"id": str(order.id), "topic": order.topic, **sent}

    def _shop(self, shop_id: str) -> Shop:
        shop = self._shops.get(shop_id)
        if shop is None:
            raise HTTPException(404, "No such shop.")
        return shop

    def _order(self, shop_id: str, order_id: str) -> Order:
        order = self._orders.get((shop_id, order_id))
        if order is None:
            raise HTTPException(404, "No such order in that shop.")
        return order


def channels_app(*, clock: Clock = now_utc) -> FastAPI:
    """The channels as one ASGI application with its own empty memory."""
    board = ChannelsBoard(clock)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        yield
        await board.aclose()

    app = FastAPI(title="Rappit channel doubles", version="1", lifespan=lifespan)
    app.include_router(health_router())
    app.include_router(board.router())
    return app
