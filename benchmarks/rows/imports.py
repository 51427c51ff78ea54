"""Row: a file of stock imported over HTTP, with 2 % bad rows.

The limit is psql: COPY of the same file into a temporary table and an upsert that writes what an import has to leave
behind, into the same tables with their indexes, checks and row-level security, on the same server, under the service's
own role: the levels, a row of the ledger for each, and the announcements in the outbox. It checks nothing: rows whose
SKU is unknown fall out of its join, and its rows have no duplicates. What an import does besides is what the ratio
shows: the upload, the file kept, each row checked and each failed one worded and stored.
"""

import asyncio
import os
import shutil
import tempfile
import time
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import asyncpg
import httpx
import psutil
from pydantic import SecretStr
from rappit_common.clock import new_id, utc_now
from rappit_common.web.auth import Principal, Role, Tokens
from sqlalchemy.engine import make_url
from stand import Stand

BAD_EVERY = 50
WAIT_S = 300
POLL_S = 0.05
MEMORY_GOAL_BYTES = 100 * 1024 * 1024

_LIMIT = """
\\set ON_ERROR_STOP on
BEGIN;
SELECT set_config('rappit.organization_id', '{org}', true), set_config('rappit.bypass_tenancy', 'off', true);
CREATE TEMPORARY TABLE rows (sku text, quantity text, warehouse_code text,
    sku_key text GENERATED ALWAYS AS (lower(sku)) STORED) ON COMMIT DROP;
\\copy rows (sku, quantity, warehouse_code) FROM '{path}' WITH (FORMAT csv, HEADER true)
ANALYZE rows;
CREATE TEMPORARY TABLE changed ON COMMIT DROP AS
SELECT s.id AS sku_id, s.code, w.id AS warehouse_id, w.code AS warehouse_code, r.quantity::bigint AS quantity,
       l.quantity_total AS before, coalesce(l.quantity_reserved, 0) AS reserved
FROM rows r
JOIN skus s ON s.organization_id = '{org}' AND s.code_key = r.sku_key
JOIN warehouses w ON w.organization_id = '{org}' AND w.code = r.warehouse_code
LEFT JOIN inventory_levels l ON l.organization_id = '{org}' AND l.sku_id = s.id AND l.warehouse_id = w.id;
INSERT INTO inventory_levels (organization_id, sku_id, warehouse_id, quantity_total, quantity_reserved,
    quantity_available, updated_at)
SELECT '{org}', sku_id, warehouse_id, quantity, 0, quantity, now() FROM changed
ON CONFLICT (organization_id, sku_id, warehouse_id) DO UPDATE SET quantity_total = excluded.quantity_total,
    quantity_available = excluded.quantity_total - inventory_levels.quantity_reserved, updated_at = now();
INSERT INTO stock_ledger (organization_id, at, sku_id, warehouse_id, kind, actor, source_type, source_id,
    total_before, total_after, reserved_before, reserved_after)
SELECT '{org}', now(), sku_id, warehouse_id, 'import', 'bench', 'import', '{org}', coalesce(before, 0), quantity,
    reserved, reserved FROM changed;
INSERT INTO outbox (id, organization_id, event, exchange, routing_key, message_id, content_type, headers, body,
    mandatory)
SELECT gen_random_uuid(), '{org}', 'inventory.stock-changed.v1', 'rappit.events', 'inventory.stock-changed.v1',
    gen_random_uuid()::text, 'application/json', '{{}}', convert_to(json_agg(json_build_object('sku', code,
    'warehouse_code', warehouse_code, 'on_hand', quantity, 'reserved', reserved, 'available', quantity - reserved)
    )::text, 'UTF8'), false
FROM (SELECT *, (row_number() OVER () - 1) / 500 AS part FROM changed) AS c GROUP BY part;
COMMIT;
"""


class Imports:
    """The row; times are of one whole file."""

    limit_title = "psql, COPY and upsert of levels, ledger and outbox"
    goal = 1.5

    def __init__(self, stand: Stand, psql: str, rows: int) -> None:
        self.title = f"bulk import of {rows:,} rows over HTTP, 2 % of them bad"
        self._stand = stand
        self._psql = psql
        self._rows = rows
        self._stack = AsyncExitStack()
        # The limit has an organization of its own, so that neither finds the other's levels.
        self._organizations = {"ours": new_id(), "limit": new_id()}
        self._number = 0
        self.grown_bytes = 0

    async def __aenter__(self) -> Self:
        stand = self._stand
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-import-")))
        port = await self._stack.enter_async_context(stand.service("rappit_inventory", "inventory", "serve"))
        self._process = next(
            child
            for child in psutil.Process().children(recursive=True)
            if "rappit_inventory" in child.cmdline() and "serve" in child.cmdline()
        )
        self._database: Any = await asyncpg.connect(stand.sandbox.admin_url)
        self._stack.push_async_callback(self._database.close)
        self._client = await self._stack.enter_async_context(
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=WAIT_S)
        )
        for organization_id in self._organizations.values():
            await self._prepare(organization_id)
        await self._database.execute("ANALYZE inventory.skus")
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    async def _prepare(self, organization_id: UUID) -> None:
        await self._database.execute(
            "INSERT INTO inventory.warehouses (organization_id, id, code, name, priority)"
            " VALUES ($1, gen_random_uuid(), 'W1', 'One', 1)",
            organization_id,
        )
        await self._database.execute(
            "INSERT INTO inventory.skus (organization_id, id, code, name)"
            " SELECT $1, gen_random_uuid(), 'SKU-' || n, 'Thing ' || n FROM generate_series(0, $2 - 1) AS n",
            organization_id,
            self._rows,
        )

    def _file(self) -> Path:
        """Write a file in which every quantity is new, and every fiftieth SKU unknown."""
        self._number += 1
        path = self._folder / f"{self._number}.csv"
        with path.open("w") as file:
            file.write("sku,quantity,warehouse_code\n")
            file.writelines(
                f"{'NO' if n % BAD_EVERY == 0 else 'SKU'}-{n},{self._number * 1_000 + n % 997},W1\n"
                for n in range(self._rows)
            )
        return path

    async def limit_s(self) -> float:
        """Seconds that psql takes."""
        path = await asyncio.to_thread(self._file)
        url = make_url(self._stand.sandbox.urls("inventory").runtime_url)
        server = {
            "PGHOST": url.host or "",
            "PGPORT": str(url.port or 5432),
            "PGUSER": url.username or "",
            "PGPASSWORD": str(url.password or ""),
            "PGDATABASE": url.database or "",
            "PGOPTIONS": "-c search_path=inventory -c jit=off",
        }
        await self._settle()
        started = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            self._psql,
            *("-q", "-o", os.devnull, "-f", "-"),
            env={**os.environ, **server},
            stdin=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        script = _LIMIT.format(org=self._organizations["limit"], path=path)
        _, err = await process.communicate(script.encode())
        elapsed = time.perf_counter() - started
        if process.returncode:
            raise RuntimeError(f"psql said: {err.decode()[:1000]}")
        await asyncio.to_thread(path.unlink)
        return elapsed

    async def measured_s(self) -> float:
        """Seconds from the first byte sent to the answer, or for a large file to the end of its job."""
        path = await asyncio.to_thread(self._file)
        await self._settle()
        principal = Principal(new_id(), self._organizations["ours"], Role.STAFF, "bench")
        token = Tokens(SecretStr(self._stand.jwt_secret)).issue(
            principal, now=utc_now(), lifetime=timedelta(seconds=WAIT_S)
        )
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "text/csv"}
        memory = asyncio.create_task(self._watch_memory())
        started = time.perf_counter()
        answer = await self._client.post(
            "/inventory/bulk", content=await asyncio.to_thread(path.read_bytes), headers=headers
        )
        answer.raise_for_status()
        summary = answer.json()
        while summary.get("status") in {"queued", "running"}:
            await asyncio.sleep(POLL_S)
            summary = (await self._client.get(f"/inventory/imports/{summary['import_id']}", headers=headers)).json()
        elapsed = time.perf_counter() - started
        memory.cancel()
        expected = (self._rows, self._rows // BAD_EVERY)
        if (summary["total"], summary["failed"]) != expected or not summary["applied"]:
            raise RuntimeError(f"the import said: {str(summary)[:1000]}")
        await asyncio.to_thread(path.unlink)
        return elapsed

    async def _watch_memory(self) -> None:
        before = self._process.memory_info().rss
        while True:
            self.grown_bytes = max(self.grown_bytes, self._process.memory_info().rss - before)
            await asyncio.sleep(POLL_S)

    async def _settle(self) -> None:
        """Begin with the outbox drained and nothing half-written, whoever ran before."""
        while await self._database.fetchval("SELECT EXISTS (SELECT FROM inventory.outbox WHERE sent_at IS NULL)"):  # noqa: ASYNC110 - another process drains it
            await asyncio.sleep(POLL_S)
        await self._database.execute("VACUUM ANALYZE inventory.inventory_levels")
        await self._database.execute("CHECKPOINT")


def find_psql() -> str | None:
    """Return where psql lies, if anywhere."""
    found = shutil.which("psql")
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin/psql"), reverse=True)
    return found or next((str(place) for place in places if place.is_file()), None)
