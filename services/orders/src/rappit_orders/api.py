"""Composition of the service."""

from fastapi import FastAPI
from rappit_common.idempotency import IdempotencyPurge
from rappit_common.service import Part, Runtime, StatefulService

from rappit_orders.consumers.orders import make_router
from rappit_orders.endpoints import orders
from rappit_orders.messages import (
    ACCEPT_WEBHOOK,
    APPLY_RESERVATION,
    FOLLOW_SHIPMENTS,
    DeliverySettled,
    OrderCancelled,
    OrderChanged,
    OrderPlaced,
)
from rappit_orders.service.settling import announce_dead_letter
from rappit_orders.settings import OrdersSettings
from rappit_orders.unit import OrdersUnit


def install_api(app: FastAPI, _runtime: Runtime[OrdersSettings, OrdersUnit]) -> None:
    """Add the service's endpoints."""
    app.include_router(orders.router)


def parts(runtime: Runtime[OrdersSettings, OrdersUnit], role: str) -> list[Part]:
    """Return the background parts of a role."""
    # Beside the relay, which forgets old messages.
    return [IdempotencyPurge(runtime.units)] if role == "relay" else []


SERVICE = StatefulService(
    name="orders",
    schema="orders",
    module="rappit_orders",
    prefix="/orders",
    settings=OrdersSettings,
    unit=OrdersUnit,
    install_api=install_api,
    router=make_router,
    publishes=(OrderPlaced, OrderChanged, OrderCancelled, DeliverySettled),
    subscriptions=(ACCEPT_WEBHOOK, APPLY_RESERVATION, FOLLOW_SHIPMENTS),
    announce_dead_letter=announce_dead_letter,
    parts=parts,
)
