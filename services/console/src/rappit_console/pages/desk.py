"""What every page is handed: the request, the person, the APIs as that person, and the templates."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse

from rappit_console.api_client import Api, ApiClient, SessionExpiredError
from rappit_console.session import Session, SessionHolder
from rappit_console.views import Toast, Views, is_fragment


@dataclass(frozen=True, slots=True)
class Desk:
    """One request of a signed-in person."""

    request: Request
    api: Api
    views: Views
    holder: SessionHolder

    @property
    def session(self) -> Session:
        """The person.

        Raises:
            SessionExpiredError: Nobody is signed in.
        """
        if self.holder.current is None:
            raise SessionExpiredError
        return self.holder.current

    @property
    def wants_fragment(self) -> bool:
        """Whether htmx asks, and not the browser for a whole page."""
        return is_fragment(self.request)

    def page(self, template: str, **context: Any) -> HTMLResponse:
        """Return a whole page."""
        return self.views.page(self.request, template, **context)

    def fragment(self, template: str | None, *, toast: Toast | None = None, **context: Any) -> HTMLResponse:
        """Return a part of a page, a toast, or both."""
        return self.views.fragment(self.request, template, toast=toast, **context)


def views_of(request: Request) -> Views:
    """Return the process's templates."""
    views: Views = request.app.state.views
    return views


def client_of(request: Request) -> ApiClient:
    """Return the process's client of the APIs."""
    client: ApiClient = request.app.state.client
    return client


def holder_of(request: Request) -> SessionHolder:
    """Return the session of this request."""
    holder: SessionHolder = request.state.session
    return holder


async def signed_in(request: Request) -> Desk:
    """Return the desk of a signed-in person.

    Raises:
        SessionExpiredError: Nobody is signed in.
    """
    holder = holder_of(request)
    if holder.current is None:
        raise SessionExpiredError
    return Desk(request, Api(client_of(request), holder), views_of(request), holder)


SignedIn = Annotated[Desk, Depends(signed_in)]
