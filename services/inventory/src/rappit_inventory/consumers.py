"""What the service does when others tell it something."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from faststream import Context
from faststream.rabbit import RabbitMessage, RabbitRouter
from rappit_common.clock import utc_now
from rappit_common.logs import get_logger
from rappit_common.messaging.batching import Batcher
from rappit_common.messaging.hot_consumer import HotSubscription
from rappit_common.messaging.inbox import UnidentifiedMessageError
from rappit_common.tracing import current_traceparent
from rappit_common.unit_of_work import UnitsOfWork
from structlog.contextvars import bind_contextvars

from rappit_inventory.domain.demands import ORDINARY_PRIORITY, Demand
from rappit_inventory.messages import COMMIT, FILL, RESERVE, OrderDemand, ShipmentState, WaitingFillable
from rappit_inventory.repository.demands import Waiting
from rappit_inventory.service.reserve import OrderVersion, fill_waiting, reserve_orders
from rappit_inventory.service.ship import ShipmentVersion, apply_shipment
from rappit_inventory.unit import InventoryUnit

OrderMessage = tuple[str, OrderVersion]
"""A message's id and the version it carries."""

Units = Annotated[UnitsOfWork[InventoryUnit], Context("units")]
_log = get_logger()


def make_reservation_batcher(
    units: UnitsOfWork[InventoryUnit], *, max_orders: int = 200, max_running: int = 4
) -> Batcher[UUID, OrderMessage]:
    """Return what applies the order messages of an organization many in one transaction."""

    async def apply(organization_id: UUID, messages: Sequence[OrderMessage]) -> None:
        async with units.begin(organization_id) as unit:
            fresh = await unit.inbox.claim_many(RESERVE.queue, [message_id for message_id, _ in messages])
            # Of a message that came twice in one batch, both copies stand here: the second version is not newer.
            orders = [order for message_id, order in messages if message_id in fresh]
            answered = await reserve_orders(unit, orders, now=utc_now()) if orders else []
        _log_applied(answered, orders)

    return Batcher(apply, max_items=max_orders, max_running=max_running)


def _log_applied(answered: Sequence[Demand], orders: Sequence[OrderVersion]) -> None:
    # Each in the trace of its message, since a batch has none of its own.
    trace_ids = {(order.order_id, order.version): order.trace_id for order in orders}
    for demand in answered:
        _log.info(
            "demand_applied",
            order_id=str(demand.order_id),
            order_version=demand.order_version,
            status=demand.status.value,
            trace_id=trace_ids.get((demand.order_id, demand.order_version)),
        )


def hot_reservations(batcher: Batcher[UUID, OrderMessage], *, prefetch: int) -> HotSubscription[OrderDemand]:
    """Return the subscription to orders' demands, read past FastStream: it is the queue every order goes through."""

    async def reserve_on_order_changed(event: OrderDemand, message_id: str | None) -> None:
        """Reserve what the order's newest version needs; returns after the commit, so that the ack follows it."""
        if not message_id:
            # The inbox would refuse it as well, but with it the whole batch.
            raise UnidentifiedMessageError("a message without message_id cannot be deduplicated")
        bind_contextvars(order_id=str(event.order_id))
        demand = tuple((line.sku, line.quantity) for line in event.demand)
        address = event.shipping_address
        destination = None if address is None else address.to_destination()
        order = OrderVersion(event.order_id, event.order_version, demand, current_traceparent(), destination)
        await batcher.submit(event.organization_id, (message_id, order))

    return HotSubscription(RESERVE, OrderDemand, reserve_on_order_changed, prefetch)


def make_router() -> RabbitRouter:
    """Return the service's subscribers but the hot one."""
    router = RabbitRouter()

    @router.subscriber(COMMIT.as_faststream())
    async def commit_on_shipment_changed(event: ShipmentState, message: RabbitMessage, units: Units) -> None:  # pyright: ignore[reportUnusedFunction] - called by FastStream
        """Take labelled parcels off the shelves, and voided ones back."""
        async with units.begin(event.organization_id) as unit:
            if await unit.inbox.claim(COMMIT.queue, message.message_id):
                shipment = ShipmentVersion(
                    event.shipment_id,
                    event.order_id,
                    event.shipment_version,
                    event.status,
                    event.warehouse_code,
                    tuple((line.sku, line.quantity) for line in event.lines),
                )
                await apply_shipment(unit, shipment, now=utc_now())

    @router.subscriber(FILL.as_faststream())
    async def fill_on_stock_arrived(event: WaitingFillable, message: RabbitMessage, units: Units) -> None:  # pyright: ignore[reportUnusedFunction] - called by FastStream
        """Serve the next step of the line of waiting orders."""
        priority = ORDINARY_PRIORITY if event.after_priority is None else event.after_priority
        after = None if event.after is None else Waiting(event.after.waiting_since, event.after.order_id, priority)
        async with units.begin(event.organization_id) as unit:
            if await unit.inbox.claim(FILL.queue, message.message_id):
                await fill_waiting(unit, event.sku_ids, after, now=utc_now())

    return router
