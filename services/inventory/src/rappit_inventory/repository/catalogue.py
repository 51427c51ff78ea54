"""SKUs and warehouses."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
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

# As JSON, so that a field more of a SKU is a name more here.
_ADD_SKUS = text("""
    INSERT INTO skus (organization_id, id, code, name, barcode, product, options, weight_g, length_mm, width_mm,
                      height_mm, hs_code, country_of_origin, customs_description, active)
    SELECT :organization_id, n.*
    FROM jsonb_to_recordset(CAST(:skus AS jsonb))
         AS n(id uuid, code text, name text, barcode text, product text, options jsonb, weight_g int, length_mm int,
              width_mm int, height_mm int, hs_code text, country_of_origin text, customs_description text,
              active boolean)
    ORDER BY lower(n.code), n.id
    ON CONFLICT (organization_id, code_key) DO NOTHING
    RETURNING id
""")

# Three stretches of three indexes, by the operators that compare bytes and that row-level security lets through; each
# ends where the next text begins that does not start alike.
_MATCHING = text("""
    (SELECT id FROM skus WHERE organization_id = :organization_id
     AND code_key ~>=~ lower(CAST(:text AS text)) AND code_key ~<~ lower(CAST(:end AS text))
     LIMIT :limit)
    UNION
    (SELECT id FROM skus WHERE organization_id = :organization_id
     AND name_key ~>=~ lower(CAST(:text AS text)) AND name_key ~<~ lower(CAST(:end AS text))
     LIMIT :limit)
    UNION
    (SELECT id FROM skus WHERE organization_id = :organization_id
     AND barcode ~>=~ CAST(:text AS text) AND barcode ~<~ CAST(:end AS text)
     LIMIT :limit)
    LIMIT :limit
""")
_LAST_CHARACTER = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class NewSku:
    """A SKU to be added."""

    code: str
    name: str
    barcode: str | None = None
    product: str | None = None
    options: Mapping[str, str] | None = None
    weight_g: int | None = None
    length_mm: int | None = None
    width_mm: int | None = None
    height_mm: int | None = None
    hs_code: str | None = None
    country_of_origin: str | None = None
    customs_description: str | None = None
    active: bool = True


@dataclass(frozen=True, slots=True)
class SkuFilter:
    """Which SKUs. None leaves a condition out."""

    ids: Collection[UUID] | None = None
    barcode: str | None = None
    product: str | None = None
    active: bool | None = None


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
        records = [{"id": str(row_id), **asdict(sku)} for row_id, sku in ids.items()]
        parameters = {"organization_id": self._organization_id, "skus": json.dumps(records)}
        rows = await self._session.execute(_ADD_SKUS, parameters)
        return {row_id: ids[row_id] for row_id in rows.scalars()}

    async def sku(self, code: str) -> Sku | None:
        """Return a SKU by its code, without regard to case."""
        statement = select(Sku).where(text("code_key = lower(:code)").bindparams(code=code.strip()))
        return await self._session.scalar(statement)

    async def sku_by_id(self, sku_id: UUID) -> Sku | None:
        """Return a SKU."""
        return await self._session.scalar(select(Sku).where(Sku.id == sku_id))

    async def matching(self, beginning: str, *, limit: int) -> list[UUID]:
        """Return the SKUs whose code, name or barcode begins with a text, without regard to case; at most ``limit``."""
        parameters = {"text": beginning, "end": beginning + _LAST_CHARACTER, "limit": limit}
        rows = await self._session.execute(_MATCHING, {"organization_id": self._organization_id, **parameters})
        return list(rows.scalars())

    async def sku_page(self, wanted: SkuFilter, *, limit: int, after: UUID | None) -> Sequence[Sku]:
        """Return SKUs, newest first."""
        statement = select(Sku).order_by(Sku.id.desc()).limit(limit)
        if wanted.ids is not None:
            statement = statement.where(Sku.id.in_(wanted.ids))
        if wanted.barcode is not None:
            statement = statement.where(Sku.barcode == wanted.barcode)
        if wanted.product is not None:
            statement = statement.where(Sku.product == wanted.product)
        if wanted.active is not None:
            statement = statement.where(Sku.active if wanted.active else ~Sku.active)
        return list(await self._session.scalars(statement if after is None else statement.where(Sku.id < after)))

    async def change(self, row: Sku | Warehouse, values: Mapping[str, object]) -> None:
        """Write some of the facts of a SKU or a warehouse."""
        for name, value in values.items():
            setattr(row, name, value)
        await self._session.flush()

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
                address=warehouse.address,
                active=warehouse.active,
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

    async def warehouse_page(
        self, *, limit: int, after: UUID | None, active: bool | None = None
    ) -> Sequence[Warehouse]:
        """Return warehouses, newest first."""
        statement = select(Warehouse).order_by(Warehouse.id.desc()).limit(limit)
        if active is not None:
            statement = statement.where(Warehouse.active if active else ~Warehouse.active)
        return list(await self._session.scalars(statement if after is None else statement.where(Warehouse.id < after)))

    async def sku_codes(self, ids: Iterable[UUID]) -> dict[UUID, str]:
        """Return the codes of some SKUs."""
        rows = await self._session.execute(select(Sku.id, Sku.code).where(Sku.id.in_(set(ids))))
        return {row.id: row.code for row in rows}

    async def warehouse_codes(self, ids: Iterable[UUID]) -> dict[UUID, str]:
        """Return the codes of some warehouses."""
        rows = await self._session.execute(select(Warehouse.id, Warehouse.code).where(Warehouse.id.in_(set(ids))))
        return {row.id: row.code for row in rows}
