"""A small client of Rappit's public API, as a merchant's own program would have."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

TIMEOUT_S = 30.0
POLL_S = 0.05

ResultT = TypeVar("ResultT")


class ApiError(Exception):
    """The API refused; carries the problem it answered with."""

    def __init__(self, answer: httpx.Response) -> None:
        self.status = answer.status_code
        try:
            self.problem: dict[str, Any] = answer.json()
        except ValueError:
            self.problem = {"detail": answer.text[:500]}
        self.code = str(self.problem.get("code", ""))
        self.detail = str(self.problem.get("detail", ""))
        super().__init__(f"{answer.request.method} {answer.request.url.path}: {self.status} {self.code} {self.detail}")


class Client:
    """Speaks JSON to one base URL as one signed-in principal."""

    def __init__(self, base_url: str, token: str | None = None) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.base_url = base_url
        self.http = httpx.AsyncClient(base_url=base_url, headers=headers, timeout=TIMEOUT_S)

    @classmethod
    async def sign_in(cls, base_url: str, email: str, password: str) -> Self:
        """Return a client signed in by e-mail and password.

        Raises:
            ApiError: They are not known.
        """
        async with cls(base_url) as anonymous:
            body: dict[str, Any] = await anonymous.post("/auth/login", {"email": email, "password": password})
        return cls(base_url, body["access_token"])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        await self.http.aclose()

    async def get(self, path: str, **params: str | int) -> Any:
        """Return the JSON of a GET.

        Raises:
            ApiError: Anything but a 2xx.
        """
        return _json(await self.http.get(path, params=params))

    async def post(self, path: str, body: Any = None, *, headers: dict[str, str] | None = None) -> Any:
        """Return the JSON of a POST with a JSON body.

        Raises:
            ApiError: Anything but a 2xx.
        """
        return _json(await self.http.post(path, json=body, headers=headers))

    async def items(self, path: str, **params: str | int) -> list[dict[str, Any]]:
        """Return every row of a cursor-paginated list, page by page."""
        rows: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            page: dict[str, Any] = await self.get(path, **params, **({"cursor": cursor} if cursor else {}))
            rows += page["items"]
            cursor = page.get("next_cursor")
            if not cursor:
                return rows


def _json(answer: httpx.Response) -> Any:
    if not answer.is_success:
        raise ApiError(answer)
    return answer.json() if answer.content else None


async def until(ask: Callable[[], Awaitable[ResultT | None]], *, within_s: float = 60, what: str) -> ResultT:
    """Return the first answer of ``ask`` that is not None.

    Raises:
        TimeoutError: There was none in time; says what was waited for.
    """
    deadline = time.monotonic() + within_s
    while True:
        answer = await ask()
        if answer is not None:
            return answer
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {within_s:.0f} s in vain for {what}")
        await asyncio.sleep(POLL_S)
