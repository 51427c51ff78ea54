import contextlib
import io
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from rappit_cli.__main__ import main


@dataclass
class Outcome:
    """How a command ended, and what it said."""

    status: int
    out: str
    err: str


@dataclass
class Rappit:
    """The ingress over real HTTP: answers as scripted, and remembers what it was asked."""

    url: str = ""
    access_token: str = "access-1"
    refresh_token: str = "refresh-1"
    issued: int = 1
    expires_in_s: int = 900
    answers: dict[str, list[tuple[int, Any]]] = field(default_factory=dict)
    asked: list[tuple[str, str, bytes, dict[str, str]]] = field(default_factory=list)

    def answer(self, method: str, path: str, body: Any, status: int = 200) -> None:
        """Script an answer, JSON or bytes; of several, the last one stays."""
        self.answers.setdefault(f"{method} {path}", []).append((status, body))

    def pair(self) -> dict[str, Any]:
        return {
            "access_token": self.access_token,
            "token_type": "bearer",
            "expires_in_s": self.expires_in_s,
            "refresh_token": self.refresh_token,
        }

    def problem(self, status: int, code: str, detail: str) -> JSONResponse:
        body = {"type": "about:blank", "title": "x", "status": status, "code": code, "detail": detail}
        return JSONResponse(body, status, media_type="application/problem+json")

    def requests(self, method: str, path: str) -> list[tuple[str, str, bytes, dict[str, str]]]:
        return [request for request in self.asked if request[:2] == (method, path)]

    def told(self, method: str, path: str) -> list[Any]:
        """Return the JSON bodies of what was asked there."""
        return [json.loads(request[2]) for request in self.requests(method, path)]

    def app(self) -> FastAPI:
        app = FastAPI()
        self._add_auth(app)
        self._add_everything_else(app)
        return app

    def _add_auth(self, app: FastAPI) -> None:
        @app.post("/auth/login")
        async def login(body: dict[str, str]) -> Any:
            if body["password"] != "right password":
                return self.problem(401, "invalid_credentials", "The e-mail address or the password is wrong.")
            return self.pair()

        @app.post("/auth/token")
        async def token(body: dict[str, str]) -> Any:
            if body["api_key"] != "rk_good":
                return self.problem(401, "invalid_api_key", "The API key is not valid.")
            return {key: value for key, value in self.pair().items() if key != "refresh_token"}

        @app.post("/auth/refresh")
        async def refresh(request: Request, body: dict[str, str]) -> Any:
            self.asked.append(("POST", "/auth/refresh", await request.body(), {}))
            if body["refresh_token"] != self.refresh_token:
                return self.problem(401, "invalid_refresh_token", "The session has ended: sign in again.")
            self.issued += 1
            self.access_token, self.refresh_token = f"access-{self.issued}", f"refresh-{self.issued}"
            return self.pair()

        @app.post("/auth/logout", status_code=204)
        async def logout() -> None:
            self.refresh_token = "ended"

    def _add_everything_else(self, app: FastAPI) -> None:
        @app.api_route("/{path:path}", methods=["GET", "POST"])
        async def anything(request: Request, path: str) -> Any:
            if request.headers.get("authorization") != f"Bearer {self.access_token}":
                await request.body()
                return self.problem(401, "invalid_token", "The access token has expired: sign in again or refresh it.")
            query = f"?{request.url.query}" if request.url.query else ""
            self.asked.append((request.method, f"/{path}{query}", await request.body(), dict(request.headers)))
            scripted = self.answers.get(f"{request.method} /{path}")
            if not scripted:
                return self.problem(404, "not_found", f"Nothing is at /{path}.")
            status, body = scripted.pop(0) if len(scripted) > 1 else scripted[0]
            return Response(body, status) if isinstance(body, bytes) else JSONResponse(body, status)


@contextlib.contextmanager
def serve(app: Any) -> Iterator[str]:
    """Serve an app on a free port from a thread, and give its address."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert thread.is_alive(), "the server ended before it began"
        assert time.monotonic() < deadline, "the server did not start"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()
    assert not thread.is_alive()


@pytest.fixture
def serving():
    """Serve an ASGI app over real HTTP."""
    return serve


@pytest.fixture(scope="session")
def _served() -> Iterator[tuple[str, Any]]:
    holder: dict[str, Any] = {}

    async def current(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while (message := await receive())["type"] != "lifespan.shutdown":
                await send({"type": f"{message['type']}.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        await holder["app"](scope, receive, send)

    with serve(current) as url:
        yield url, holder


@pytest.fixture
def rappit(_served: tuple[str, Any]) -> Rappit:
    url, holder = _served
    made = Rappit(url)
    holder["app"] = made.app()
    return made


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """Run the command in this process, as in a fresh home without a terminal."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("RAPPIT_URL", "RAPPIT_API_KEY", "RAPPIT_PASSWORD", "RAPPIT_CHANNEL_SECRET", "VISUAL", "EDITOR"):
        monkeypatch.delenv(name, raising=False)

    def run_command(*arguments: str, **environment: str) -> Outcome:
        with monkeypatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as ended:
                main(list(arguments))
        out, err = capsys.readouterr()
        return Outcome(int(ended.value.code or 0), out, err)

    return run_command


class Terminal(io.StringIO):
    """Standard input where a person sits, who has typed ahead."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def typing(monkeypatch):
    """Let a person sit at the terminal who answers as given."""
    return lambda *lines: monkeypatch.setattr("sys.stdin", Terminal("".join(f"{line}\n" for line in lines)))


@pytest.fixture
def signed_in(rappit, run):
    """A command runner that is signed in already."""
    outcome = run("login", "--url", rappit.url, "--email", "olga@acme.test", RAPPIT_PASSWORD="right password")
    assert outcome.status == 0, outcome.err
    return run
