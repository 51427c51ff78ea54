"""The two health endpoints every long-running process of the house answers."""

from fastapi import APIRouter


async def _well() -> dict[str, str]:
    # A double keeps everything in its own memory: while it answers, it is ready.
    return {"status": "ok"}


def health_router() -> APIRouter:
    """`GET /health/live` and `GET /health/ready`."""
    router = APIRouter(prefix="/health", tags=["health"])
    router.add_api_route("/live", _well, methods=["GET"])
    router.add_api_route("/ready", _well, methods=["GET"])
    return router
