"""The HTTP surface below /inventory."""

from fastapi import FastAPI

from rappit_inventory.endpoints import (
    availability,
    catalogue,
    counts,
    imports,
    ledger,
    levels,
    reservations,
    returns,
    settings,
    transfers,
)


def install(app: FastAPI) -> None:
    """Add every route of the service."""
    stock = (catalogue, levels, availability, ledger, transfers, counts, returns, imports)
    for module in (*stock, reservations, settings):
        app.include_router(module.router, prefix="/inventory")
