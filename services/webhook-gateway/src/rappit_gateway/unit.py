"""The gateway's unit of work."""

from functools import cached_property
from uuid import UUID

from rappit_common.database.tenancy import Tenancy
from rappit_common.unit_of_work import UnitOfWork
from sqlalchemy.ext.asyncio import AsyncSession

from rappit_gateway.repository.channels import ChannelRepository
from rappit_gateway.repository.deliveries import DeliveryRepository


class GatewayUnit(UnitOfWork):
    """One transaction over channels and the log of what they delivered.

    Attributes:
        changed_channels: Whose cached copies are out of date once this commits.
    """

    def __init__(self, session: AsyncSession, tenancy: Tenancy) -> None:
        super().__init__(session, tenancy)
        self.changed_channels: set[UUID] = set()

    @cached_property
    def channels(self) -> ChannelRepository:
        """Channels and their secrets."""
        return ChannelRepository(self.session)

    @cached_property
    def deliveries(self) -> DeliveryRepository:
        """The log of deliveries."""
        return DeliveryRepository(self.session, self.organization_id)
