"""The service, put together."""

from datetime import timedelta
from typing import Any

from fastapi import FastAPI
from rappit_common.clock import utc_now
from rappit_common.idempotency import IdempotencyPurge
from rappit_common.messaging.hot_consumer import HotSubscription
from rappit_common.service import Part, Runtime, StatefulService

from rappit_inventory import endpoints
from rappit_inventory.consumers import hot_reservations, make_reservation_batcher, make_router
from rappit_inventory.flows.hold_expiry import HoldExpiry, HoldPurge
from rappit_inventory.flows.import_worker import ImportPurge, ImportWorker
from rappit_inventory.messages import COMMIT, FILL, RESERVE, ReservationChanged, StockArrived, StockChanged, StockLow
from rappit_inventory.settings import InventorySettings
from rappit_inventory.unit import InventoryUnit

MAX_IMPORT_BYTES = 210 * 1024 * 1024


def install_api(app: FastAPI, runtime: Runtime[InventorySettings, InventoryUnit]) -> None:
    """Add the HTTP surface."""
    app.state.import_job_bytes = runtime.settings.import_job_bytes
    endpoints.install(app)


def parts(runtime: Runtime[InventorySettings, InventoryUnit], role: str) -> list[Part]:
    """Return the background parts of a role."""
    settings = runtime.settings
    if role == "relay":
        # Beside the relay, which forgets old messages and is nudged by what is announced.
        expiry = HoldExpiry(runtime.units, now=utc_now, poll_s=settings.hold_expiry_poll_s)
        purge = HoldPurge(runtime.units, now=utc_now, keep=timedelta(days=settings.hold_keep_days))
        return [expiry, purge, IdempotencyPurge(runtime.units)]
    if role != "worker":
        return []
    worker = ImportWorker(
        runtime.units,
        poll_s=settings.import_poll_s,
        lease_s=settings.import_lease_s,
        statement_timeout_s=settings.import_statement_timeout_s,
    )
    return [worker, ImportPurge(runtime.units, settings.import_keep_days)]


def hot_subscriptions(runtime: Runtime[InventorySettings, InventoryUnit]) -> list[HotSubscription[Any]]:
    """Return what is read past FastStream."""
    settings = runtime.settings
    # Half of the pool at most: imports, shipments and the API need connections too.
    running = max(1, settings.database_pool_size // 2)
    batcher = make_reservation_batcher(runtime.units, max_orders=settings.reservation_batch_orders, max_running=running)
    return [hot_reservations(batcher, prefetch=settings.reservation_prefetch)]


SERVICE = StatefulService(
    name="inventory",
    schema="inventory",
    module="rappit_inventory",
    prefix="/inventory",
    settings=InventorySettings,
    unit=InventoryUnit,
    install_api=install_api,
    router=make_router,
    subscriptions=(RESERVE, COMMIT, FILL),
    publishes=(ReservationChanged, StockChanged, StockArrived, StockLow),
    hot_subscriptions=hot_subscriptions,
    parts=parts,
    larger_bodies={"/inventory/bulk": MAX_IMPORT_BYTES, "/inventory/skus/import": MAX_IMPORT_BYTES},
)
