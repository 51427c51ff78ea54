"""The HTTP surface below /inventory."""

from fastapi import FastAPI

from rappit_inventory.endpoints import (
    availability,
    catalogue,
    counts,
    exports,
    import_history,
    imports,
    ledger,
    levels,
    returns,
    transfers,
)


def install(app: FastAPI) -> None:
    """Add every route of the service."""
    # The export goes before what takes a level's name from the path.
    for module in (
        catalogue,
        exports,
        levels,
        availability,
        ledger,
        transfers,
        counts,
        returns,
        imports,
        import_history,
    ):
        app.include_router(module.router, prefix="/inventory")
