"""The HTTP surface below /inventory."""

from fastapi import FastAPI

from rappit_inventory.endpoints import catalogue, imports, levels


def install(app: FastAPI) -> None:
    """Add every route of the service."""
    for router in (catalogue.router, levels.router, imports.router):
        app.include_router(router, prefix="/inventory")
