"""SKUs and warehouses."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from rappit_common.clock import new_id
from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from rappit_inventory.models import Sku, Warehouse

_RESOLVE = text("""
    SELECT c.code AS asked, s.id
    FROM (SELECT code, lower(code) AS key FROM unnest(CAST(:codes AS text[])) AS u(code) OFFSET 0) AS c
    CROSS JOIN LATERAL (
        SELECT id FROM skus WHERE organization_id = :organization_id AND code_key = c.key LIMIT 1
    ) AS s
""")

_ADD_SKUS = text("""
    INSERT INTO skus (organization_id, id, code, name, barcode)
    SELECT :organization_id, n.id, n.code, n.name, n.barcode
    FROM unnest(CAST(:ids AS uuid[]), CAST(:codes AS text[]), CAST(:names AS text[]), CAST(:barcodes AS text[]))
         AS n(id, code, name, barcode)
    ORDER BY lower(n.code), n.id
    ON CONFLICT (organization_id, code_key) DO NOTHING
    RETURNING id
""")


@dataclass(frozen=True, slots=True)
class NewSku:
    """A SKU to be added."""

    code: str
    name: str
    barcode: str | None = None


class CatalogueRepository:
    """Reads and extends one organization's catalogue."""

    def __init__(self, session: AsyncSession, organization_id: UUID) -> None:
        self._session = session
        self._organization_id = organization_id

    async def resolve(self, codes: Iterable[str]) -> dict[str, UUID]:
        """Return the SKU ids of some codes, without regard to case; unknown codes are absent."""
        asked = sorted(set(codes))
        if not asked:
            return {}
        parameters = {"organization_id": self._organization_id, "codes": asked}
        rows = await self._session.execute(_RESOLVE, parameters)
        return {row.asked: row.id for row in rows}

    async def add_skus(self, skus: Sequence[NewSku]) -> dict[UUID, NewSku]:
        """Add SKUs whose codes are free, in one statement; returns those that were added."""
        ids = {new_id(): sku for sku in skus}
        rows = await self._session.execute(
            _ADD_SKUS,
            {
                "organization_id": self._organization_id,
                "ids": list(ids),
                "codes": [sku.code for sku in skus],
                "names": [sku.name for sku in skus],
                "barcodes": [sku.barcode for sku in skus],
            },
        )
        return {row_id: ids[row_id] for row_id in rows.scalars()}

    async def sku(self, code: str) -> Sku | None:
        """Return a SKU by its code, without regard to case."""
        statement = select(Sku).where(text("code_key = lower(:code)").bindparams(code=code.strip()))
        return await self._session.scalar(statement)

    async def sku_page(self, *, limit: int, after: UUID | None) -> Sequence[Sku]:
        """Return SKUs, newest first."""
        statement = select(Sku).order_by(Sku.id.desc()).limit(limit)
        return list(await self._session.scalars(statement if after is None else statement.where(Sku.id < after)))

    async def add_warehouse(self, warehouse: Warehouse) -> bool:
        """Add a warehouse; returns False when its code is taken."""
        statement = (
            insert(Warehouse)
            .values(
                organization_id=self._organization_id,
                id=warehouse.id,
                code=warehouse.code,
                name=warehouse.name,
                priority=warehouse.priority,
                country_code=warehouse.country_code,
                created_at=warehouse.created_at,
            )
            .on_conflict_do_nothing()
            .returning(Warehouse.id)
        )
        return (await self._session.scalar(statement)) is not None

    async def warehouse(self, code: str) -> Warehouse | None:
        """Return a warehouse by its code, without regard to case."""
        statement = select(Warehouse).where(text("code_key = lower(:code)").bindparams(code=code.strip()))
        return await self._session.scalar(statement)

    async def warehouse_page(self, *, limit: int, after: UUID | None) -> Sequence[Warehouse]:
        """Return warehouses, newest first."""
        statement = select(Warehouse).order_by(Warehouse.id.desc()).limit(limit)
        return list(await self._session.scalars(statement if after is None else statement.where(Warehouse.id < after)))

    async def warehouse_codes(self, ids: Iterable[UUID]) -> dict[UUID, str]:
        """Return the codes of some warehouses."""
        rows = await self._session.execute(select(Warehouse.id, Warehouse.code).where(Warehouse.id.in_(set(ids))))
        return {row.id: row.code for row in rows}
