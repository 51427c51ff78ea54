"""The HTTP surface below /inventory."""

from fastapi import FastAPI

from rappit_inventory.endpoints import (
    availability,
    catalogue,
    counts,
    exports,
    holds,
    import_history,
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
    stock = (catalogue, levels, availability, ledger, transfers, counts, returns)
    # The export goes before what takes a level's name from the path.
    for module in (exports, *stock, imports, import_history, reservations, settings, holds):
        app.include_router(module.router, prefix="/inventory")
