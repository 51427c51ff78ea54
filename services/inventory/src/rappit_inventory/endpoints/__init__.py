"""The HTTP surface below /inventory."""

from fastapi import FastAPI

from rappit_inventory.endpoints import catalogue, exports, import_history, imports, levels


def install(app: FastAPI) -> None:
    """Add every route of the service."""
    # The export goes before what takes a level's name from the path.
    for router in (catalogue.router, exports.router, levels.router, imports.router, import_history.router):
        app.include_router(router, prefix="/inventory")
