"""Shipments that were applied; each is guarded by the lock of its order's demand."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from rappit_inventory.domain.shipments import Shipment
from rappit_inventory.models import AppliedShipment


class ShipmentRepository:
    """Reads and writes one organization's applied shipments."""

    def __init__(self, session: AsyncSession, organization_id: UUID) -> None:
        self._session = session
        self._organization_id = organization_id

    async def get(self, shipment_id: UUID, order_id: UUID) -> Shipment:
        """Return a shipment as it was last applied, or a new one. The caller holds the lock of the order's demand."""
        statement = select(AppliedShipment).where(AppliedShipment.shipment_id == shipment_id)
        row = await self._session.scalar(statement)
        if row is None:
            return Shipment(shipment_id, order_id)
        taken = {(UUID(part["sku_id"]), UUID(part["warehouse_id"])): int(part["quantity"]) for part in row.taken}
        return Shipment(shipment_id, row.order_id, row.shipment_version, row.status, taken)

    async def save(self, shipment: Shipment, now: datetime) -> None:
        """Write a shipment's version and what it took."""
        values = {
            "order_id": shipment.order_id,
            "shipment_version": shipment.version,
            "status": shipment.status,
            "taken": [
                {"sku_id": str(key[0]), "warehouse_id": str(key[1]), "quantity": quantity}
                for key, quantity in sorted(shipment.taken.items())
            ],
            "updated_at": now,
        }
        statement = insert(AppliedShipment.__table__).values(  # pyright: ignore[reportArgumentType] - typed as FromClause
            organization_id=self._organization_id, shipment_id=shipment.shipment_id, **values
        )
        await self._session.execute(
            statement.on_conflict_do_update(index_elements=["organization_id", "shipment_id"], set_=values)
        )
