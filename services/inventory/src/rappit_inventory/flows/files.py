"""Files of imports, brought back from the database to a temporary file, so that memory stays flat."""

import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import BinaryIO, cast
from uuid import UUID

from rappit_common.unit_of_work import UnitsOfWork

from rappit_inventory.unit import InventoryUnit

IN_MEMORY_BYTES = 1 << 20


@asynccontextmanager
async def kept_file(
    units: UnitsOfWork[InventoryUnit], organization_id: UUID, import_id: UUID
) -> AsyncGenerator[BinaryIO]:
    """Give an import's file from its start, as long as the block runs."""
    with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES) as spool:
        stream = cast("BinaryIO", spool)
        async with units.begin(organization_id) as unit:
            async for chunk in unit.import_jobs.chunks(import_id):
                stream.write(chunk)
        stream.seek(0)
        yield stream
