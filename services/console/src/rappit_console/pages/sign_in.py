"""Signing in and out."""

import time
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response
from rappit_common.logs import get_logger
from rappit_common.web.auth import Role

from rappit_console.api_client import ApiClient, ApiError, SessionExpiredError, TokenPair, on_behalf_of
from rappit_console.pages.desk import SignedIn, client_of, holder_of, views_of
from rappit_console.readers import Me
from rappit_console.return_path import HOME, SIGN_IN, safe_return_path
from rappit_console.session import Session
from rappit_console.views import go_to

MERCHANT_HOME = "/console/orders"
OPERATOR_HOME = "/console/dead-letters"

router = APIRouter()
_log = get_logger()


@router.get("/")
@router.get("/console")
async def show_entrance(request: Request) -> Response:
    """Go where the session's cookie is sent."""
    return go_to(request, HOME)


@router.get(HOME)
async def show_home(request: Request) -> Response:
    """Go where this person's work is."""
    session = holder_of(request).current
    if session is None:
        return go_to(request, SIGN_IN)
    return go_to(request, OPERATOR_HOME if session.is_operator else MERCHANT_HOME)


@router.get(SIGN_IN)
async def show_sign_in(request: Request, next: str = "") -> Response:  # noqa: A002 - the address's usual word
    """Show the form; who is signed in goes on."""
    if holder_of(request).current is not None:
        return go_to(request, safe_return_path(next))
    return views_of(request).page(request, "sign_in.html", next=safe_return_path(next), email="", refusal=None)


@router.post(SIGN_IN)
async def sign_in(
    request: Request,
    email: Annotated[str, Form(max_length=320)] = "",
    password: Annotated[str, Form(max_length=1024)] = "",
    next: Annotated[str, Form()] = "",  # noqa: A002 - the address's usual word
) -> Response:
    """Sign in and go where the person wanted; a refusal is shown as identity worded it."""
    try:
        session = await _session_for(client_of(request), email, password, holder_of(request).address)
    except ApiError as refusal:
        return views_of(request).page(
            request,
            "sign_in.html",
            status_code=refusal.status,
            next=safe_return_path(next),
            email=email,
            refusal=refusal,
        )
    holder_of(request).put(session)
    _log.info("signed_in", role=session.role.value)
    return go_to(request, safe_return_path(next))


@router.post("/console/sign-out")
async def sign_out(desk: SignedIn) -> Response:
    """Forget the session here and at identity."""
    session = desk.session
    try:
        await desk.api.call("POST", "/auth/logout", body={"refresh_token": session.refresh_token})
    except (ApiError, SessionExpiredError) as error:
        # The cookie goes either way; the refresh token ends by itself when identity did not hear of it.
        _log.warning("sign_out_not_heard", error=repr(error))
    desk.holder.put(None)
    return go_to(desk.request, SIGN_IN)


async def _session_for(client: ApiClient, email: str, password: str, address: str) -> Session:
    known = on_behalf_of(address)
    answer = await client.call("POST", "/auth/login", body={"email": email, "password": password}, headers=known)
    pair = answer.read(TokenPair)
    me = (await client.call("GET", "/auth/me", token=pair.access_token, headers=known)).read(Me)
    return Session(
        access_token=pair.access_token,
        refresh_token=pair.refresh_token,
        expires_at_s=time.time() + pair.expires_in_s,
        role=Role(me.role),
        label=me.label or email,
        organization_id=me.organization_id,
        organization_name=me.organization_name,
    )
