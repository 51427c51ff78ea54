"""All of the operator's endpoints of one service."""

from collections.abc import Sequence

from fastapi import APIRouter

from rappit_common.messaging.topology import Subscription
from rappit_common.web.ops.acting import acting_router
from rappit_common.web.ops.audit import audit_router
from rappit_common.web.ops.listing import listing_router
from rappit_common.web.ops.runs import runs_router


def ops_router(service: str, subscriptions: Sequence[Subscription]) -> APIRouter:
    """Return the endpoints of a service's dead letters; mount them below its prefix."""
    router = APIRouter(prefix="/ops", tags=["operator"])
    by_queue = {subscription.queue: subscription for subscription in subscriptions}
    router.include_router(listing_router(service, by_queue))
    router.include_router(acting_router(service, by_queue))
    router.include_router(runs_router(service))
    router.include_router(audit_router())
    return router
