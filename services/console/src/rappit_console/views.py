"""Pages and fragments out of templates."""

import json
from dataclasses import dataclass
from typing import Any, Literal, cast

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined

from rappit_console import formats
from rappit_console.assets import Assets
from rappit_console.session import SessionHolder

SEE_OTHER = 303
HTMX_SETTINGS = {
    # The policy forbids inline style and evaluated script; a shared computer must not keep a shop's pages.
    "includeIndicatorStyles": False,
    "allowEval": False,
    "allowScriptTags": False,
    "selfRequestsOnly": True,
    "historyCacheSize": 0,
    "refreshOnHistoryMiss": True,
    "timeout": 0,
    # Refusals come as toasts, so their answers are taken in too.
    "responseHandling": [
        {"code": "204", "swap": False},
        {"code": "[23]..", "swap": True},
        {"code": "[45]..", "swap": True, "error": True},
    ],
}


@dataclass(frozen=True, slots=True)
class Toast:
    """A short message over the page.

    Attributes:
        kind: An error stays until it is dismissed, a success goes by itself.
        message: The sentence, exactly as the API gave it.
        trace_id: For support, shown small.
    """

    kind: Literal["success", "error"]
    message: str
    trace_id: str | None = None


def is_fragment(request: Request) -> bool:
    """Tell whether htmx asks for a part of a page, and not a browser for a whole one."""
    return request.headers.get("hx-request") == "true" and request.headers.get("hx-history-restore-request") != "true"


class Views:
    """Renders templates, with everything escaped.

    Args:
        assets: What pages link to.
    """

    def __init__(self, assets: Assets) -> None:
        self._environment = Environment(
            loader=PackageLoader("rappit_console"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        # Jinja's stubs know its own globals and filters only.
        names = cast("dict[str, Any]", self._environment.globals)
        names |= {
            "asset": assets.url,
            "htmx_settings": json.dumps(HTMX_SETTINGS),
            "happening": formats.happening,
            "money": formats.money,
            "pretty": formats.pretty,
        }
        filters = cast("dict[str, Any]", self._environment.filters)
        filters |= {
            "words": formats.words,
            "name": formats.name,
            "tone": formats.tone,
            "moment": formats.moment,
            "duration": formats.duration,
        }

    def page(self, request: Request, template: str, *, status_code: int = 200, **context: Any) -> HTMLResponse:
        """Return a whole page; templates get ``session`` and ``path`` besides the context."""
        return HTMLResponse(self._render(request, template, context), status_code)

    def fragment(
        self,
        request: Request,
        template: str | None,
        *,
        toast: Toast | None = None,
        status_code: int = 200,
        **context: Any,
    ) -> HTMLResponse:
        """Return a part of a page, a toast, or both; a toast alone leaves the page as it is."""
        parts = [self._render(request, template, context)] if template else []
        if toast is not None:
            parts.append(self._render(request, "_toast.html", {"toast": toast}))
        response = HTMLResponse("\n".join(parts), status_code)
        if template is None:
            response.headers["HX-Reswap"] = "none"
        return response

    def _render(self, request: Request, template: str, context: dict[str, Any]) -> str:
        holder: SessionHolder = request.state.session
        given = {"session": holder.current, "path": request.url.path, "toast": None, **context}
        return self._environment.get_template(template).render(given)


def go_to(request: Request, path: str) -> Response:
    """Send the browser to another page, from a whole page or from a fragment."""
    if is_fragment(request):
        return Response(headers={"HX-Redirect": path})
    return RedirectResponse(path, SEE_OTHER)
