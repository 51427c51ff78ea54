"""Composition of the service."""

from dataclasses import dataclass

from fastapi import FastAPI
from rappit_common.crypto import SecretBox
from rappit_common.service import Part, Runtime, StatefulService
from redis.asyncio import Redis

from rappit_shipping.carriers.breaker import BreakerPolicy, Breakers
from rappit_shipping.carriers.dhl import DhlCarrier
from rappit_shipping.carriers.fedex import FedexCarrier
from rappit_shipping.carriers.guarded import GuardedCarrier
from rappit_shipping.carriers.transport import CarrierHttp, Timeouts
from rappit_shipping.consumers import make_router
from rappit_shipping.endpoints import accounts, shipments
from rappit_shipping.flows.desk import Desk, Patience
from rappit_shipping.flows.reconcile import Reconciler
from rappit_shipping.flows.tasks import ShieldedTasks
from rappit_shipping.messages import FOLLOW_ORDERS, ShipmentChanged
from rappit_shipping.settings import ShippingSettings
from rappit_shipping.unit import ShippingUnit

# What a call may take besides its own request: signing in, and both once more after a 401.
REQUESTS_A_CALL = 4


@dataclass(frozen=True, slots=True)
class Connections:
    """What a process holds open towards the carriers and Redis; a part, so that it is closed with the process."""

    https: tuple[CarrierHttp, ...]
    redis: Redis

    async def start(self) -> None:
        """Everything connects when it is first used."""

    async def stop(self) -> None:
        """Close them all."""
        for http in self.https:
            await http.close()
        await self.redis.aclose()


@dataclass(frozen=True, slots=True)
class Composed:
    """One process's carriers and what works with them."""

    desk: Desk
    tasks: ShieldedTasks
    connections: Connections


def composed(runtime: Runtime[ShippingSettings, ShippingUnit]) -> Composed:
    """Return a process's carriers, made once: its API and its worker share connections, tokens and bulkheads."""
    return runtime.share(Composed, lambda: _compose(runtime))


def _compose(runtime: Runtime[ShippingSettings, ShippingUnit]) -> Composed:
    settings = runtime.settings
    timeouts = Timeouts(
        settings.carrier_connect_timeout_s, settings.carrier_read_timeout_s, settings.carrier_total_timeout_s
    )
    redis: Redis = Redis.from_url(  # pyright: ignore[reportUnknownMemberType] - typed in part
        settings.redis_url.get_secret_value(),
        socket_timeout=settings.redis_timeout_s,
        socket_connect_timeout=settings.redis_timeout_s,
    )
    policy = BreakerPolicy(
        threshold=settings.breaker_threshold,
        open_s=settings.breaker_open_s,
        probe_s=REQUESTS_A_CALL * settings.carrier_total_timeout_s,
        namespace=settings.breaker_namespace,
    )
    breakers = Breakers(redis, policy)
    connections = settings.carrier_concurrency * 2
    fedex = CarrierHttp(FedexCarrier.name, settings.fedex_base_url, timeouts, connections=connections)
    dhl = CarrierHttp(DhlCarrier.name, settings.dhl_base_url, timeouts, connections=connections)
    carriers = {
        carrier.code: GuardedCarrier(
            carrier, breakers, concurrency=settings.carrier_concurrency, wait_s=settings.carrier_queue_wait_s
        )
        for carrier in (FedexCarrier(fedex), DhlCarrier(dhl))
    }
    desk = Desk(
        units=runtime.units,
        carriers=carriers,
        box=SecretBox(settings.encryption_key, settings.encryption_key_previous),
        patience=Patience(
            # Never while the call may still be under way, whatever the setting says.
            stale_s=max(settings.purchase_stale_s, 2 * REQUESTS_A_CALL * settings.carrier_total_timeout_s),
            look_delays_s=settings.reconcile_delays_s,
            catch_up_s=settings.order_catch_up_s,
        ),
    )
    return Composed(desk, ShieldedTasks(settings.shutdown_timeout_s - 2), Connections((fedex, dhl), redis))


def install_api(app: FastAPI, runtime: Runtime[ShippingSettings, ShippingUnit]) -> None:
    """Add the service's endpoints and what they ask for."""
    made = composed(runtime)
    app.state.desk, app.state.tasks = made.desk, made.tasks
    app.include_router(accounts.router)
    app.include_router(shipments.router)


def parts(runtime: Runtime[ShippingSettings, ShippingUnit], role: str) -> list[Part]:
    """Return the background parts of a role; they stop in reverse, so the connections are closed last."""
    if role not in {"api", "worker"}:
        return []
    made = composed(runtime)
    if role == "api":
        return [made.connections, made.tasks]
    return [made.connections, Reconciler(made.desk, runtime.settings.reconcile_poll_s)]


SERVICE = StatefulService(
    name="shipping",
    schema="shipping",
    module="rappit_shipping",
    prefix="/shipping",
    settings=ShippingSettings,
    unit=ShippingUnit,
    install_api=install_api,
    router=make_router,
    subscriptions=(FOLLOW_ORDERS,),
    publishes=(ShipmentChanged,),
    parts=parts,
)
