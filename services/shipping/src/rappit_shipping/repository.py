"""All of shipping's SQL."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import undefer

from rappit_shipping.domain.shipments import (
    LIVE,
    UNSETTLED,
    AccountExistsError,
    AccountNotFoundError,
    ShipmentNotFoundError,
)
from rappit_shipping.messages import OrderSnapshot
from rappit_shipping.models import CarrierAccount, FollowedOrder, Shipment, StoredLabel


class AccountRepository:
    """Carrier accounts of one organization."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, account: CarrierAccount) -> None:
        """Keep a new account.

        Raises:
            AccountExistsError: Another one of this organization has its name.
        """
        self._session.add(account)
        try:
            await self._session.flush()
        except IntegrityError:
            raise AccountExistsError(
                f"There is a carrier account named {account.name!r} already.", name=account.name
            ) from None

    async def get(self, account_id: UUID) -> CarrierAccount:
        """Return an account.

        Raises:
            AccountNotFoundError: There is none for this organization.
        """
        account = await self._session.scalar(select(CarrierAccount).where(CarrierAccount.id == account_id))
        if account is None:
            raise AccountNotFoundError("There is no such carrier account.", carrier_account_id=str(account_id))
        return account

    async def page(self, limit: int, after: UUID | None) -> list[CarrierAccount]:
        """Return up to ``limit`` accounts, newest first."""
        query = select(CarrierAccount).order_by(CarrierAccount.id.desc()).limit(limit)
        if after is not None:
            query = query.where(CarrierAccount.id < after)
        return list(await self._session.scalars(query))


class OrderRepository:
    """What shipping knows of one organization's orders."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def keep_newest(self, snapshot: OrderSnapshot) -> None:
        """Keep a snapshot unless a newer one is there."""
        address = snapshot.shipping_address
        values = {
            "state_version": snapshot.state_version,
            "number": snapshot.number,
            "state": snapshot.state,
            "shipping_address": None if address is None else address.model_dump(),
            "allocations": [allocation.model_dump() for allocation in snapshot.allocations],
            "updated_at": snapshot.updated_at,
        }
        statement = insert(FollowedOrder).values(
            order_id=snapshot.order_id, organization_id=snapshot.organization_id, **values
        )
        await self._session.execute(
            statement.on_conflict_do_update(
                index_elements=[FollowedOrder.order_id, FollowedOrder.organization_id],
                set_=values,
                where=FollowedOrder.state_version < snapshot.state_version,
            )
        )

    async def lock(self, order_id: UUID) -> FollowedOrder | None:
        """Return an order, locked until the transaction ends: purchases for one order take turns."""
        return await self._session.scalar(
            select(FollowedOrder).where(FollowedOrder.order_id == order_id).with_for_update()
        )


class ShipmentRepository:
    """Shipments of one organization; of all of them within a bypass."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    def add(self, shipment: Shipment) -> None:
        """Keep a new shipment."""
        self._session.add(shipment)

    async def find(self, shipment_id: UUID) -> Shipment:
        """Return a shipment.

        Raises:
            ShipmentNotFoundError: There is none for this organization.
        """
        return self._found(await self._session.scalar(select(Shipment).where(Shipment.id == shipment_id)), shipment_id)

    async def lock(self, shipment_id: UUID) -> Shipment:
        """Return a shipment as it stands now, locked until the transaction ends.

        Raises:
            ShipmentNotFoundError: There is none for this organization.
        """
        query = select(Shipment).where(Shipment.id == shipment_id).with_for_update()
        return self._found(await self._session.scalar(query), shipment_id)

    @staticmethod
    def _found(shipment: Shipment | None, shipment_id: UUID) -> Shipment:
        if shipment is None:
            raise ShipmentNotFoundError("There is no such shipment.", shipment_id=str(shipment_id))
        return shipment

    async def find_by_key(self, idempotency_key: str) -> Shipment | None:
        """Return the shipment that a key was first used for."""
        return await self._session.scalar(select(Shipment).where(Shipment.idempotency_key == idempotency_key))

    async def live_of(self, order_id: UUID) -> list[Shipment]:
        """Return an order's shipments that have, or may have, a label."""
        query = select(Shipment).where(Shipment.order_id == order_id, Shipment.status.in_(LIVE)).order_by(Shipment.id)
        return list(await self._session.scalars(query))

    async def page(
        self, limit: int, after: UUID | None, *, order_id: UUID | None, status: str | None
    ) -> list[Shipment]:
        """Return up to ``limit`` shipments, newest first."""
        conditions: list[ColumnElement[bool]] = []
        if after is not None:
            conditions.append(Shipment.id < after)
        if order_id is not None:
            conditions.append(Shipment.order_id == order_id)
        if status is not None:
            conditions.append(Shipment.status == status)
        query = select(Shipment).where(*conditions).order_by(Shipment.id.desc()).limit(limit)
        return list(await self._session.scalars(query))

    async def with_labels(self, shipment_ids: list[UUID]) -> set[UUID]:
        """Return those of some shipments whose label is stored."""
        query = select(StoredLabel.shipment_id).where(StoredLabel.shipment_id.in_(shipment_ids))
        return set(await self._session.scalars(query))

    async def raw_response(self, shipment_id: UUID) -> dict[str, object] | None:
        """Return the carrier's whole answer to a purchase."""
        query = select(Shipment).where(Shipment.id == shipment_id).options(undefer(Shipment.raw_response))
        return self._found(await self._session.scalar(query), shipment_id).raw_response

    async def find_label(self, shipment_id: UUID) -> StoredLabel | None:
        """Return a shipment's label."""
        return await self._session.scalar(select(StoredLabel).where(StoredLabel.shipment_id == shipment_id))

    async def keep_label(self, label: StoredLabel) -> None:
        """Store a label, unless it is there."""
        statement = insert(StoredLabel).values(
            shipment_id=label.shipment_id,
            organization_id=label.organization_id,
            media_type=label.media_type,
            content=label.content,
        )
        await self._session.execute(statement.on_conflict_do_nothing())

    async def claim_due(self, now: datetime, until: datetime, limit: int) -> list[tuple[UUID, UUID]]:
        """Take unsettled shipments that are due, of all organizations, and keep other replicas off them until then.

        Returns:
            Organization and shipment of each.
        """
        due = (
            select(Shipment.id)
            .where(Shipment.status.in_(UNSETTLED), Shipment.next_look_at <= now)
            .order_by(Shipment.next_look_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        ids = list(await self._session.scalars(due))
        if not ids:
            return []
        rows = await self._session.execute(
            update(Shipment)
            .where(Shipment.id.in_(ids))
            .values(next_look_at=until)
            .returning(Shipment.organization_id, Shipment.id)
            .execution_options(synchronize_session=False)
        )
        return [(row[0], row[1]) for row in rows]
