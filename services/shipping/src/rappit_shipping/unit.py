"""Shipping's unit of work."""

from functools import cached_property

from rappit_common.unit_of_work import UnitOfWork

from rappit_shipping.repository import AccountRepository, OrderRepository, ShipmentRepository


class ShippingUnit(UnitOfWork):
    """A transaction with shipping's repositories."""

    @cached_property
    def accounts(self) -> AccountRepository:
        """Carrier accounts."""
        return AccountRepository(self.session)

    @cached_property
    def orders(self) -> OrderRepository:
        """What is known of orders."""
        return OrderRepository(self.session)

    @cached_property
    def shipments(self) -> ShipmentRepository:
        """Shipments and labels."""
        return ShipmentRepository(self.session)
