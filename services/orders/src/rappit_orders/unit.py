"""The service's unit of work."""

from functools import cached_property

from rappit_common.idempotency import IdempotencyKeys
from rappit_common.unit_of_work import UnitOfWork

from rappit_orders.repository.orders import OrderRepository
from rappit_orders.repository.timeline import TimelineRepository


class OrdersUnit(UnitOfWork):
    """One transaction over the orders of one organization."""

    @cached_property
    def orders(self) -> OrderRepository:
        """Orders."""
        return OrderRepository(self.session, self.organization_id)

    @cached_property
    def timeline(self) -> TimelineRepository:
        """What happened to them."""
        return TimelineRepository(self.session, self.organization_id)

    @cached_property
    def idempotency(self) -> IdempotencyKeys:
        """Which requests were answered before."""
        return IdempotencyKeys(self.session, self.organization_id)
