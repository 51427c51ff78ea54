"""The HTTP surface below /inventory."""

from fastapi import FastAPI

from rappit_inventory.endpoints import (
    availability,
    catalogue,
    counts,
    holds,
    imports,
    ledger,
    levels,
    returns,
    transfers,
)


def install(app: FastAPI) -> None:
    """Add every route of the service."""
    for module in (catalogue, levels, availability, ledger, transfers, counts, returns, holds, imports):
        app.include_router(module.router, prefix="/inventory")
