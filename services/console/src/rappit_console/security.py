"""What surrounds every page: headers, the same-origin rule, the session cookie.

Cross-site request forgery is met twice: the cookie is SameSite=Lax, so no other site's POST carries it, and anything
that changes state is refused unless the browser itself says that one of our own pages sent it (``Sec-Fetch-Site`` where
it is sent, ``Origin`` elsewhere). No token in each form is needed then, and no state to keep it in.
"""

from urllib.parse import urlsplit

from rappit_common.errors import ForbiddenError
from rappit_common.logs import get_logger
from rappit_common.web.problems import problem_of
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rappit_console.session import COOKIE, COOKIE_PATH, SessionHolder, SessionSeal

SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
NO_STORE = "no-store"
ONE_YEAR_S = 31_536_000

_log = get_logger()


class CrossSiteError(ForbiddenError):
    """A page of another site tried to act in the signed-in person's name."""

    code = "cross_site_request"


class SecurityHeaders:
    """Puts the security headers on every answer, and keeps pages out of caches.

    Args:
        app: What answers.
        always_https: The console is only reached over https, whatever the last hop speaks.
    """

    def __init__(self, app: ASGIApp, *, always_https: bool) -> None:
        self._app = app
        self._always_https = always_https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_secure = self._always_https or scope["scheme"] == "https"

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", NO_STORE)
                if is_secure:
                    headers.setdefault("Strict-Transport-Security", f"max-age={ONE_YEAR_S}")
            await send(message)

        await self._app(scope, receive, send_with_headers)


class SameOrigin:
    """Refuses whatever changes state and was not sent by a page of our own.

    Args:
        app: What it protects.
        public_base_url: Our address as browsers see it, for ingresses that change the Host header.
    """

    def __init__(self, app: ASGIApp, public_base_url: str | None) -> None:
        self._app = app
        self._public_host = urlsplit(public_base_url).netloc.lower() if public_base_url else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["method"] not in SAFE_METHODS:
            headers = Headers(scope=scope)
            if not self._is_our_page(headers):
                _log.warning("cross_site_request_refused", origin=headers.get("origin"), host=headers.get("host"))
                refusal = CrossSiteError("This was not sent by a page of Rappit: open the page again and retry there.")
                await problem_of(refusal)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _is_our_page(self, headers: Headers) -> bool:
        site = headers.get("sec-fetch-site")
        if site is not None and site != "same-origin":
            return False
        origin = headers.get("origin")
        if origin is None:
            return site == "same-origin"
        host = urlsplit(origin).netloc.lower()
        return bool(host) and host in {headers.get("host", "").lower(), self._public_host}


class Sessions:
    """Opens the session cookie before a page, and sets it anew after one that changed the session.

    Args:
        app: The pages; they find the holder in ``request.state.session``.
        seal: Encrypts it.
        lifetime_s: Of the cookie.
        always_https: Marks the cookie Secure even when the last hop speaks http.
    """

    def __init__(self, app: ASGIApp, seal: SessionSeal, *, lifetime_s: int, always_https: bool) -> None:
        self._app = app
        self._seal = seal
        self._lifetime_s = lifetime_s
        self._always_https = always_https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        holder = SessionHolder(self._seal.open(HTTPConnection(scope).cookies.get(COOKIE)))
        if scope.get("client"):
            holder.address = scope["client"][0]
        scope.setdefault("state", {})["session"] = holder

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start" and holder.changed:
                cookie = self._cookie(holder, is_secure=scope["scheme"] == "https")
                MutableHeaders(scope=message).append("Set-Cookie", cookie)
            await send(message)

        await self._app(scope, receive, send_with_cookie)

    def _cookie(self, holder: SessionHolder, *, is_secure: bool) -> str:
        value = self._seal.seal(holder.current) if holder.current else ""
        max_age_s = self._lifetime_s if holder.current else 0
        attributes = [f"{COOKIE}={value}", f"Path={COOKIE_PATH}", f"Max-Age={max_age_s}", "HttpOnly", "SameSite=Lax"]
        if is_secure or self._always_https:
            attributes.append("Secure")
        return "; ".join(attributes)
