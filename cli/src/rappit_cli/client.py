"""The API over HTTP: signs in, stays signed in, and turns refusals into their own words."""

import contextlib
import os
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import IO, Any

import httpx

from rappit_cli.errors import ApiError, CliError, NotSignedInError, UnreachableError
from rappit_cli.session import Session, SessionStore

TIMEOUT_S = 30.0
UPLOAD_TIMEOUT_S = 600.0
EARLY_S = 30.0
MAX_PAGE_ROWS = 200
MAX_SHOWN_CHARACTERS = 2_000

Parameters = Mapping[str, str | int | Sequence[str] | None]


def _checked(answer: httpx.Response) -> httpx.Response:
    if answer.is_success:
        return answer
    try:
        problem: Any = answer.json()
    except ValueError:
        problem = None
    if isinstance(problem, dict) and isinstance(problem.get("detail"), str):
        raise ApiError(answer.status_code, str(problem.get("code", "")), problem["detail"])
    text = " ".join(answer.text.split())[:MAX_SHOWN_CHARACTERS]
    reason = f"{answer.request.url} answered {answer.status_code} {answer.reason_phrase}"
    raise ApiError(answer.status_code, "", f"{reason}: {text}" if text else reason)


class Api:
    """Rappit's API as one caller.

    With ``RAPPIT_API_KEY`` and ``RAPPIT_URL`` in the environment it signs in with the key and stores nothing; otherwise
    it goes on with the stored session.

    Args:
        store: Where the session lies.
        now: Seconds of the epoch.
    """

    def __init__(self, store: SessionStore, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._now = now
        self._http = httpx.Client(timeout=TIMEOUT_S)
        self._session: Session | None = None

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def login(self, url: str, email: str, password: str) -> Session:
        """Sign in and store the session.

        Raises:
            ApiError: The address or the password is wrong, with the API's own words.
            CliError: Nobody answers at ``url``, or it is none.
        """
        url = url.rstrip("/")
        if not url.startswith(("http://", "https://")):
            raise CliError(f"{url} is not an address: it must begin with http:// or https://.")
        body = _checked(self._post(f"{url}/auth/login", {"email": email, "password": password})).json()
        session = self._session_of(url, email, body)
        self._store.save(session)
        self._session = session
        return session

    def logout(self) -> bool:
        """End the session there and here. Returns False when nobody was signed in."""
        with self._store.locked():
            session = self._store.load()
            if session is None:
                return False
            _checked(self._post(f"{session.url}/auth/logout", {"refresh_token": session.refresh_token}))
            self._store.forget()
        return True

    def get(self, path: str, parameters: Parameters | None = None) -> Any:
        """Return the JSON at a path."""
        return self.request("GET", path, parameters=parameters).json()

    def post(self, path: str, body: Any = None) -> Any:
        """Send JSON and return the JSON that answers."""
        return self.request("POST", path, json=body).json()

    def upload(
        self,
        path: str,
        open_file: Callable[[], IO[bytes]],
        content_type: str,
        *,
        parameters: Parameters | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Send a file and return the JSON that answers; the file is never whole in memory."""
        headers = {**(headers or {}), "Content-Type": content_type}
        return self.request("POST", path, parameters=parameters, open_file=open_file, headers=headers).json()

    def page(self, path: str, parameters: Parameters, limit: int, cursor: str | None = None) -> dict[str, Any]:
        """Return up to ``limit`` rows of a list, over as many pages as that takes, in a page's shape."""
        items: list[Any] = []
        while True:
            rows = min(limit - len(items), MAX_PAGE_ROWS)
            page = self.get(path, {**parameters, "limit": rows, "cursor": cursor})
            items += page["items"]
            cursor = page.get("next_cursor")
            if cursor is None or len(items) >= limit:
                return {"items": items, "next_cursor": cursor}

    def request(
        self,
        method: str,
        path: str,
        *,
        parameters: Parameters | None = None,
        json: Any = None,
        open_file: Callable[[], IO[bytes]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send one request as the caller; an access token that has run out is refreshed, once.

        Raises:
            NotSignedInError: There is no session, or it has ended.
            ApiError: The API refused, with its own words.
            CliError: Nobody answers.
        """
        session = self._current()
        for attempt in (1, 2):
            said = {**(headers or {}), "Authorization": f"Bearer {session.access_token}"}
            url, given = session.url + path, _given(parameters)
            if open_file is None:
                answer = self._send(method, url, params=given, json=json, headers=said)
            else:
                with open_file() as file:
                    how = {"params": given, "headers": said, "timeout": UPLOAD_TIMEOUT_S}
                    answer = self._send(method, url, content=file, **how)
            if answer.status_code != HTTPStatus.UNAUTHORIZED or attempt == 2:  # noqa: PLR2004 - the second of two
                break
            session = self._renew(session)
        return _checked(answer)

    @contextlib.contextmanager
    def stream(self, path: str, parameters: Parameters | None = None) -> Generator[Iterator[bytes]]:
        """Open what lies at a path and give its bytes as they come; it is never whole in memory.

        Raises:
            NotSignedInError, ApiError, CliError: As :meth:`request`; a connection may be lost midway too.
        """
        session = self._current()
        for attempt in (1, 2):
            url, said = session.url + path, {"Authorization": f"Bearer {session.access_token}"}
            with _telling(url), self._http.stream("GET", url, params=_given(parameters), headers=said) as answer:
                if answer.status_code != HTTPStatus.UNAUTHORIZED or attempt == 2:  # noqa: PLR2004 - the second of two
                    if not answer.is_success:
                        answer.read()
                    yield _checked(answer).iter_bytes()
                    return
            session = self._renew(session)

    def _current(self) -> Session:
        session = self._session or self._from_key() or self._store.load()
        if session is None:
            raise NotSignedInError("You are not signed in: run `rappit login --url URL --email ADDRESS`.")
        if session.expires_at_s - EARLY_S < self._now():
            return self._renew(session)
        self._session = session
        return session

    def _from_key(self) -> Session | None:
        key, url = os.environ.get("RAPPIT_API_KEY", ""), os.environ.get("RAPPIT_URL", "").rstrip("/")
        if not key:
            return None
        if not url:
            raise CliError("RAPPIT_API_KEY is set but RAPPIT_URL is not: say where the key is for.")
        body = _checked(self._post(f"{url}/auth/token", {"api_key": key})).json()
        return self._session_of(url, "", {**body, "refresh_token": ""})

    def _renew(self, stale: Session) -> Session:
        if not stale.refresh_token:
            self._session = self._from_key()
            if self._session is None:
                raise NotSignedInError("The API key is gone from the environment.")
            return self._session
        with self._store.locked():
            stored = self._store.load()
            if stored is not None and stored.access_token != stale.access_token and stored.url == stale.url:
                # Another process refreshed while we waited for the lock.
                self._session = stored
                return stored
            answer = self._post(f"{stale.url}/auth/refresh", {"refresh_token": stale.refresh_token})
            if answer.status_code == HTTPStatus.UNAUTHORIZED:
                self._store.forget()
                raise NotSignedInError("Your session has ended: run `rappit login` again.")
            session = self._session_of(stale.url, stale.email, _checked(answer).json())
            self._store.save(session)
        self._session = session
        return session

    def _session_of(self, url: str, email: str, body: Any) -> Session:
        return Session(
            url=url,
            email=email,
            access_token=str(body["access_token"]),
            expires_at_s=self._now() + float(body["expires_in_s"]),
            refresh_token=str(body["refresh_token"]),
        )

    def _post(self, url: str, body: Any) -> httpx.Response:
        return self._send("POST", url, json=body)

    def _send(self, method: str, url: str, **how: Any) -> httpx.Response:
        with _telling(url):
            return self._http.request(method, url, **how)


@contextlib.contextmanager
def _telling(url: str) -> Generator[None]:
    """Say in words why nobody answers."""
    try:
        yield
    except httpx.InvalidURL as error:
        raise CliError(f"{url} is not an address: {error}") from error
    except httpx.TimeoutException as error:
        raise UnreachableError(f"{url} did not answer in time.") from error
    except httpx.TransportError as error:
        raise UnreachableError(f"{url} cannot be reached: {error or type(error).__name__}") from error


def _given(parameters: Parameters | None) -> dict[str, str | int | Sequence[str]]:
    return {key: value for key, value in (parameters or {}).items() if value is not None}
