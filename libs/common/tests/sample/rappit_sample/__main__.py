"""The sample service as a process of its own: ``python -m rappit_sample serve``."""

import asyncio
import os

from rappit_common.logs import get_logger
from rappit_common.service import run_command

from rappit_sample.service import Scripted, make_service

_log = get_logger()


class Slow(Scripted):
    """Takes its time, and says in the log what it was given."""

    async def delivered(self, message_id: str) -> None:
        _log.info("delivered", delivered_id=message_id)
        await asyncio.sleep(float(os.environ.get("SAMPLE_HANDLER_S", "0")))
        _log.info("handled", delivered_id=message_id)


if __name__ == "__main__":
    run_command(make_service(Slow()))
