"""The console as an ASGI app."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI, HTTPException
from fastapi.responses import Response
from rappit_common.logs import get_logger
from rappit_common.web.health import Readiness, install_health
from rappit_common.web.middleware import BodyLimit, RequestContext
from starlette.types import ASGIApp

from rappit_console.api_client import ApiClient
from rappit_console.assets import Assets
from rappit_console.pages import dead_letters, orders, sign_in, stock
from rappit_console.pages.failures import install_failure_pages
from rappit_console.security import ONE_YEAR_S, SameOrigin, SecurityHeaders, Sessions
from rappit_console.session import COOKIE_PATH, SessionSeal
from rappit_console.settings import ConsoleSettings
from rappit_console.views import Views

KEPT_FOREVER = f"public, max-age={ONE_YEAR_S}, immutable"

_log = get_logger()


def create_console(settings: ConsoleSettings) -> ASGIApp:
    """Compose the console.

    It is ready as soon as it runs: when the APIs are away it has pages that say so, which is better than none.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        limits = httpx.Limits(
            max_connections=settings.api_connections, max_keepalive_connections=settings.api_connections
        )
        # No proxy of the environment: the ingress is on our own network, and tokens go nowhere else.
        async with httpx.AsyncClient(
            base_url=settings.api_base_url, limits=limits, trust_env=False, follow_redirects=False
        ) as http:
            app.state.client = ApiClient(
                http,
                timeout_s=settings.api_timeout_s,
                answer_limit_bytes=settings.api_answer_limit_bytes,
                identity_base_url=settings.identity_base_url or settings.api_base_url,
            )
            _log.info("service_started", role="api")
            yield
            _log.info("service_stopping", role="api")

    # No documents: these are pages for people; the APIs document themselves.
    app = FastAPI(title="Rappit console", openapi_url=None, lifespan=lifespan)
    assets = Assets()
    app.state.views = Views(assets)
    app.state.import_timeout_s = settings.import_timeout_s
    install_failure_pages(app)
    install_health(app, Readiness())
    _serve_assets(app, assets)
    for router in (sign_in.router, orders.router, orders.labels, stock.router, dead_letters.router):
        app.include_router(router)
    return _surrounded(app, settings)


def _serve_assets(app: FastAPI, assets: Assets) -> None:
    async def serve_asset(name: str) -> Response:
        asset = assets.get(name)
        if asset is None:
            raise HTTPException(404)
        return Response(asset.content, headers={"Cache-Control": KEPT_FOREVER}, media_type=asset.media_type)

    app.add_api_route(f"{COOKIE_PATH}/static/{{name}}", serve_asset, include_in_schema=False)


def _surrounded(app: FastAPI, settings: ConsoleSettings) -> ASGIApp:
    """Put what every answer needs around the pages.

    The session is outside the failure pages, so that a page that fails after it renewed the tokens does not lose them.
    """
    always_https = (settings.public_base_url or "").startswith("https:")
    seal = SessionSeal(
        settings.session_secret, settings.session_secret_previous, lifetime_s=settings.session_lifetime_s
    )
    sessions = Sessions(app, seal, lifetime_s=settings.session_lifetime_s, always_https=always_https)
    bounded = BodyLimit(SameOrigin(sessions, settings.public_base_url), settings.body_limit_bytes)
    return SecurityHeaders(RequestContext(bounded), always_https=always_https)
