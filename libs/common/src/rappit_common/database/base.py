"""Mapped tables: names of constraints, and the mark of a tenant's row."""

from typing import ClassVar
from uuid import UUID

from sqlalchemy import MetaData, Uuid
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Base of a service's mapped tables. A service derives its own, with its own ``metadata``.

    Tables carry no schema name: the connection's search path is the service's schema.
    """

    __abstract__: ClassVar[bool] = True
    metadata = MetaData(naming_convention=NAMING)


class TenantScoped:
    """Marks a table whose every row belongs to one organization.

    Selects, updates and deletes are filtered, inserts are stamped (``tenancy``), and the migration puts row-level
    security on the table as the second wall (``migrations.enable_tenancy``).
    """

    organization_id: Mapped[UUID] = mapped_column(Uuid, nullable=False)
