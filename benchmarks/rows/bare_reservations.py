"""The limit of the rows about reservations: pgbench calling one SQL function a transaction.

The function writes the rows that a reservation writes, into the same tables with their indexes, checks and row-level
security, on the same server, under the service's own role: the claim of the message, the level on a condition, the
demand with its line, what it holds, the ledger, the answer and the announcement of the stock.
"""

import asyncio
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy.engine import make_url
from stand import Stand

_LIMIT_SCHEMA = """
CREATE SCHEMA IF NOT EXISTS bench;
GRANT USAGE ON SCHEMA bench TO {role};
CREATE OR REPLACE FUNCTION bench.reserve(number int) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    org CONSTANT uuid := '{organization_id}';
    wanted CONSTANT text := 'SKU-' || number;
    the_order uuid := gen_random_uuid();
    sku uuid;
    level record;
BEGIN
    PERFORM set_config('rappit.organization_id', org::text, true), set_config('rappit.bypass_tenancy', 'off', true);
    INSERT INTO inbox (consumer, message_id) VALUES ('inventory.reserve-on-order-changed', gen_random_uuid());
    SELECT id INTO sku FROM skus WHERE organization_id = org AND code_key = lower(wanted);
    UPDATE inventory_levels SET quantity_reserved = quantity_reserved + 1,
        quantity_available = quantity_available - 1, updated_at = now()
    WHERE organization_id = org AND sku_id = sku AND quantity_available >= 1 RETURNING * INTO level;
    IF NOT FOUND THEN RAISE EXCEPTION 'no stock of %', wanted; END IF;
    INSERT INTO demands (organization_id, order_id, order_version, reservation_version, status, shortages, updated_at)
    VALUES (org, the_order, 1, 1, 'reserved', '[]', now());
    INSERT INTO demand_lines (organization_id, order_id, sku_code, sku_id, quantity, quantity_open)
    VALUES (org, the_order, wanted, sku, 1, 0);
    INSERT INTO allocations (organization_id, order_id, sku_id, warehouse_id, quantity_reserved, quantity_committed)
    VALUES (org, the_order, sku, level.warehouse_id, 1, 0);
    INSERT INTO stock_ledger (organization_id, at, sku_id, warehouse_id, kind, actor, source_type, source_id,
        total_before, total_after, reserved_before, reserved_after)
    VALUES (org, now(), sku, level.warehouse_id, 'reserve', 'orders', 'order', the_order,
        level.quantity_total, level.quantity_total, level.quantity_reserved - 1, level.quantity_reserved);
    INSERT INTO outbox (id, organization_id, event, exchange, routing_key, message_id, content_type, headers, body,
        mandatory)
    SELECT gen_random_uuid(), org, event, 'rappit.events', event, gen_random_uuid(), 'application/json',
        jsonb_build_object('rappit-organization-id', org), convert_to(repeat('x', size), 'UTF8'), true
    FROM (VALUES ('inventory.reservation-changed.v1', 400), ('inventory.stock-changed.v1', 250)) AS told (event, size);
    RETURN true;
END $$;
"""
_SCRIPT = "\\set number random(0, {last})\nSELECT bench.reserve(:number);\n"
_TPS = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)


def find_pgbench() -> str | None:
    """Return where pgbench lies, if anywhere."""
    found = shutil.which("pgbench")
    if found is not None:
        return found
    root = Path(__file__).parents[2]
    places: Iterable[Path] = [
        *sorted(Path("/usr/lib/postgresql").glob("*/bin/pgbench"), reverse=True),
        *sorted((root / ".rappit").glob("**/bin/pgbench")),
    ]
    return next((str(place) for place in places if place.is_file()), None)


class BareReservations:
    """The function, of one organization that has stock.

    Args:
        stand: Where.
        pgbench: The program.
    """

    def __init__(self, stand: Stand, pgbench: str) -> None:
        self._url = make_url(stand.sandbox.urls("inventory").runtime_url)
        self._pgbench = pgbench

    async def create(self, database: Any, organization_id: UUID) -> None:
        """Make it; ``database`` is a connection that may."""
        await database.execute(_LIMIT_SCHEMA.format(role=self._url.username, organization_id=organization_id))

    async def rate(self, seconds: float, *, clients: int, skus: int) -> float:
        """Return transactions per second, each for one of the first ``skus`` SKUs."""
        threads = min(clients, 2)
        process = await asyncio.create_subprocess_exec(
            self._pgbench,
            *("-n", "-c", str(clients), "-j", str(threads), "-M", "prepared", "-T", str(max(1, round(seconds)))),
            *("-f", "-"),
            env={**os.environ, **self._server()},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate(_SCRIPT.format(last=skus - 1).encode())
        found = _TPS.search(out.decode())
        if found is None:
            raise RuntimeError(f"pgbench said: {err.decode()[:1000]}")
        return float(found[1])

    def _server(self) -> dict[str, str]:
        return {
            "PGHOST": self._url.host or "",
            "PGPORT": str(self._url.port or 5432),
            "PGUSER": self._url.username or "",
            "PGPASSWORD": str(self._url.password or ""),
            "PGDATABASE": self._url.database or "",
            "PGOPTIONS": "-c search_path=inventory -c jit=off",
        }
