"""What a process tells the inside: that it runs (live), that it can do its work now (ready), and what it counts."""

import asyncio
from collections.abc import Awaitable, Callable

from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response

from rappit_common.metrics import exposition

CHECK_TIMEOUT_S = 2.5

Check = Callable[[], Awaitable[None]]


class Readiness:
    """The named conditions for a process to be ready; each check raises when it is not met."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}

    def add(self, name: str, check: Check) -> None:
        """Make readiness depend on one more condition."""
        self._checks[name] = check

    def add_flag(self, name: str, is_met: Callable[[], bool]) -> None:
        """Make readiness depend on a condition that is known without asking anyone."""

        async def check() -> None:
            if not is_met():
                raise RuntimeError("not yet, or not any more")

        self.add(name, check)

    def add_either(self, name: str, is_met: Callable[[], bool], otherwise: Check) -> None:
        """Make readiness depend on a condition that is known without asking, or else on a check."""

        async def check() -> None:
            if not is_met():
                await otherwise()

        self.add(name, check)

    async def report(self) -> dict[str, str]:
        """Return ``ok`` or the reason for each condition, asked all at once within 2.5 s."""

        async def ask(check: Check) -> str:
            try:
                async with asyncio.timeout(CHECK_TIMEOUT_S):
                    await check()
            except Exception as error:  # noqa: BLE001 - the reason is the answer
                return f"{type(error).__name__}: {error}"[:300]
            return "ok"

        names = list(self._checks)
        answers = await asyncio.gather(*(ask(self._checks[name]) for name in names))
        return dict(zip(names, answers, strict=True))


def install_health(app: FastAPI, readiness: Readiness) -> None:
    """Serve ``/health/live``, ``/health/ready`` and ``/metrics``, which the ingress never routes."""

    async def live() -> JSONResponse:
        return JSONResponse({"status": "ok"})

    async def ready() -> JSONResponse:
        checks = await readiness.report()
        is_ready = all(answer == "ok" for answer in checks.values())
        return JSONResponse({"status": "ok" if is_ready else "unready", "checks": checks}, 200 if is_ready else 503)

    async def metrics() -> Response:
        body, content_type = exposition()
        return Response(body, media_type=content_type)

    app.add_api_route("/health/live", live, include_in_schema=False)
    app.add_api_route("/health/ready", ready, include_in_schema=False)
    app.add_api_route("/metrics", metrics, include_in_schema=False)
