"""What an organization has chosen about its stock. Decisions read it with the demands they lock, not from here."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from rappit_inventory.domain.policy import StockPolicy
from rappit_inventory.models.reservations import StockSettingsRow


class SettingsRepository:
    """Reads and writes one organization's settings."""

    def __init__(self, session: AsyncSession, organization_id: UUID) -> None:
        self._session = session
        self._organization_id = organization_id

    async def get(self) -> StockSettingsRow | None:
        """Return the settings, or None when the organization never chose any."""
        statement = select(StockSettingsRow).execution_options(populate_existing=True)
        return await self._session.scalar(statement)

    async def put(self, policy: StockPolicy, *, actor: str, now: datetime) -> None:
        """Write the settings. The caller holds the catalogue lock exclusively."""
        values = {
            "allocation_strategy": policy.allocation_strategy.value,
            "partial_reservations": policy.partial_reservations,
            "updated_by": actor,
            "updated_at": now,
        }
        statement = insert(StockSettingsRow).values(organization_id=self._organization_id, **values)
        await self._session.execute(statement.on_conflict_do_update(index_elements=["organization_id"], set_=values))
