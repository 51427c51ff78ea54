"""Orders: got or created once, locked, saved, listed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from rappit_common.errors import NotFoundError
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import load_only

from rappit_orders.domain.lifecycle import OrderState
from rappit_orders.domain.order import Order
from rappit_orders.domain.values import Customer, Hold, PaymentState
from rappit_orders.models import OrderRow
from rappit_orders.repository.mapping import columns_of, order_of


class OrderNotFoundError(NotFoundError):
    """There is no such order for this organization."""

    code = "order_not_found"


@dataclass(frozen=True, slots=True)
class OrderFilter:
    """What a list is narrowed to; None narrows nothing."""

    state: OrderState | None = None
    channel_id: UUID | None = None
    external_order_id: str | None = None


@dataclass(frozen=True, slots=True)
class OrderSummary:
    """An order as a list shows it."""

    id: UUID
    order_version: int
    state_version: int
    channel_id: UUID | None
    external_order_id: str
    number: str
    state: OrderState
    payment_state: PaymentState
    currency: str
    total: Decimal
    placed_at: datetime
    updated_at: datetime
    customer: Customer
    hold: Hold | None


class OrderRepository:
    """Orders of one organization."""

    def __init__(self, session: AsyncSession, organization_id: UUID) -> None:
        self._session = session
        self._organization_id = organization_id
        self._rows: dict[UUID, OrderRow] = {}

    async def insert_new(self, order: Order, *, now: datetime) -> bool:
        """Insert an order unless its channel's id is taken.

        Somebody who inserts the same order at the same time is waited for, so that exactly one of any number of equal
        deliveries inserts it.

        Returns:
            False when it is there already; nothing was written then.
        """
        statement = (
            insert(OrderRow)
            .values(
                id=order.id,
                organization_id=self._organization_id,
                channel_id=order.channel_id,
                external_order_id=order.external_order_id,
                created_at=now,
                **columns_of(order),
            )
            .on_conflict_do_nothing(constraint="uq_orders_channel_order")
            .returning(OrderRow.id)
        )
        return (await self._session.execute(statement)).scalar_one_or_none() is not None

    async def lock(self, order_id: UUID) -> Order:
        """Return an order that nobody else can change until this transaction ends.

        Raises:
            OrderNotFoundError: No such order for this organization.
        """
        row = await self._session.scalar(select(OrderRow).where(OrderRow.id == order_id).with_for_update())
        return self._known(row, order_id)

    async def lock_external(self, channel_id: UUID, external_order_id: str) -> Order:
        """Return the order that a channel calls by this id, locked like :meth:`lock`.

        Raises:
            OrderNotFoundError: No such order for this organization.
        """
        row = await self._session.scalar(
            select(OrderRow)
            .where(OrderRow.channel_id == channel_id, OrderRow.external_order_id == external_order_id)
            .with_for_update()
        )
        return self._known(row, external_order_id)

    async def get(self, order_id: UUID) -> Order:
        """Return an order to look at.

        Raises:
            OrderNotFoundError: No such order for this organization.
        """
        return self._known(await self._session.scalar(select(OrderRow).where(OrderRow.id == order_id)), order_id)

    async def save(self, order: Order) -> None:
        """Write an order that this repository locked."""
        row = self._rows[order.id]
        for name, value in columns_of(order).items():
            if getattr(row, name) != value:
                setattr(row, name, value)
        await self._session.flush()

    async def page(self, wanted: OrderFilter, *, before_id: UUID | None, limit: int) -> Sequence[OrderSummary]:
        """Return at most ``limit`` orders that arrived before ``before_id``, the newest first."""
        statement = select(OrderRow).options(load_only(*_SUMMARY, raiseload=True))
        if wanted.state is not None:
            statement = statement.where(OrderRow.state == wanted.state.value)
        if wanted.channel_id is not None:
            statement = statement.where(OrderRow.channel_id == wanted.channel_id)
        if wanted.external_order_id is not None:
            statement = statement.where(OrderRow.external_order_id == wanted.external_order_id)
        if before_id is not None:
            statement = statement.where(OrderRow.id < before_id)
        rows = await self._session.scalars(statement.order_by(OrderRow.id.desc()).limit(limit))
        return [_summary(row) for row in rows]

    def _known(self, row: OrderRow | None, asked: object) -> Order:
        if row is None:
            raise OrderNotFoundError(f"There is no order {asked}.", order=str(asked))
        self._rows[row.id] = row
        return order_of(row)


_SUMMARY = (
    OrderRow.id,
    OrderRow.order_version,
    OrderRow.state_version,
    OrderRow.channel_id,
    OrderRow.external_order_id,
    OrderRow.number,
    OrderRow.state,
    OrderRow.payment_state,
    OrderRow.currency,
    OrderRow.total,
    OrderRow.placed_at,
    OrderRow.updated_at,
    OrderRow.customer_name,
    OrderRow.customer_email,
    OrderRow.hold_reason,
    OrderRow.hold_message,
)


def _summary(row: OrderRow) -> OrderSummary:
    return OrderSummary(
        id=row.id,
        order_version=row.order_version,
        state_version=row.state_version,
        channel_id=row.channel_id,
        external_order_id=row.external_order_id,
        number=row.number,
        state=OrderState(row.state),
        payment_state=PaymentState(row.payment_state),
        currency=row.currency,
        total=row.total,
        placed_at=row.placed_at,
        updated_at=row.updated_at,
        customer=Customer(row.customer_name, row.customer_email),
        hold=Hold(row.hold_reason, row.hold_message or "") if row.hold_reason else None,
    )
