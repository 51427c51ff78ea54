"""How a file's rows are handed to the database: in batches, counted, with a turn for others between two."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from itertools import islice
from typing import Any

from rappit_inventory.domain.imports import Progress
from rappit_inventory.domain.table_file import RowError

# Reading a row takes microseconds: after this many, other requests get their turn.
_ROWS_A_TURN = 1_000


class Reading:
    """Reads rows once and counts them.

    Args:
        rows: Tuples, or why a row is refused.
        progress: Where to say how many have been read.
    """

    def __init__(self, rows: Iterable[RowError | tuple[Any, ...]], progress: Progress) -> None:
        self._rows = iter(rows)
        self._progress = progress
        self.total = 0
        self.failed = 0

    async def batches(self) -> AsyncIterator[Sequence[RowError | tuple[Any, ...]]]:
        """Yield all rows, a thousand at a time."""
        while batch := list(islice(self._rows, _ROWS_A_TURN)):
            self.total += len(batch)
            self.failed += sum(type(row) is RowError for row in batch)
            self._progress.rows_read = self.total
            yield batch
            await asyncio.sleep(0)
