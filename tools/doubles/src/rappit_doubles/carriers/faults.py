"""Faults on demand, and the gate in front of the carriers that plays them and records every call."""

import asyncio
import itertools
import json
import threading
from typing import Final, Literal

from pydantic import BaseModel, Field

from rappit_doubles.asgi import Application, Message, Receive, Scope, Send
from rappit_doubles.carriers.store import Call, Carrier, Operation, Store
from rappit_doubles.clock import Clock
from rappit_doubles.serving import abort_connection

MAX_BODY_BYTES: Final = 5_000_000
MAX_RECORDED_BODY_CHARS: Final = 20_000
MAX_FAULTS: Final = 100
MAX_HANG_S: Final = 600.0
SECRET_HEADERS: Final = frozenset({"authorization", "dhl-api-key"})


class FaultSpec(BaseModel, extra="forbid"):
    """A fault to play.

    `status` answers with that status in the carrier's own error shape; `html` is a gateway's 502 page; `not_json`
    is a 200 whose body is no JSON; `reset` drops the connection before the carrier sees the request; `hang` never
    answers; `latency` only delays; `lost_answer` does the work (a label is bought) and never answers.
    """

    carrier: Carrier | None = Field(None, description="Which carrier; both when absent.")
    kind: Literal["status", "html", "not_json", "reset", "hang", "latency", "lost_answer"]
    status: Literal[400, 401, 403, 404, 429, 500, 502, 503, 504] = 503
    latency_ms: int = Field(0, ge=0, le=600_000, description="Waited before the fault, for every kind.")
    times: int | None = Field(1, ge=1, le=1_000_000, description="How many calls; null until cleared.")
    operations: list[Operation] = Field(
        default_factory=list, description="Which operations; all but `token` when empty."
    )
    ending: Literal["hang", "reset"] = Field("hang", description="How `lost_answer` ends.")


class Fault(FaultSpec):
    """A fault in force, with how many calls it still takes."""

    id: int


class FaultBoard:
    """The faults in force, oldest first; each call meets at most one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._faults: list[Fault] = []

    def add(self, spec: FaultSpec) -> Fault:
        """Put a fault in force.

        Raises:
            ValueError: There are `MAX_FAULTS` already.
        """
        with self._lock:
            if len(self._faults) >= MAX_FAULTS:
                raise ValueError(f"There are {MAX_FAULTS} faults in force; clear some first.")
            fault = Fault(id=next(self._ids), **spec.model_dump())
            self._faults.append(fault)
        return fault

    def take(self, carrier: Carrier, operation: Operation) -> Fault | None:
        """The fault that this call meets, counted down; None when all is well."""
        with self._lock:
            for fault in self._faults:
                wanted = operation in fault.operations if fault.operations else operation != "token"
                if not wanted or fault.carrier not in {None, carrier}:
                    continue
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times == 0:
                        self._faults.remove(fault)
                return fault
        return None

    def in_force(self) -> list[Fault]:
        """Every fault in force."""
        with self._lock:
            return [fault.model_copy() for fault in self._faults]

    def clear(self, *, carrier: Carrier | None = None, fault_id: int | None = None) -> int:
        """End the faults that match (all when nothing is given); returns how many ended."""
        with self._lock:
            kept = [
                fault
                for fault in self._faults
                if (carrier is not None and fault.carrier != carrier) or (fault_id is not None and fault.id != fault_id)
            ]
            ended = len(self._faults) - len(kept)
            self._faults = kept
        return ended


def operation_of(method: str, path: str, query: str) -> tuple[Carrier, Operation] | None:
    """Which carrier and operation a request is for; None when it is for neither carrier."""
    table: dict[tuple[str, str], tuple[Carrier, Operation]] = {
        ("POST", "/fedex/oauth/token"): ("fedex", "token"),
        ("POST", "/fedex/ship/v1/shipments"): ("fedex", "ship"),
        ("PUT", "/fedex/ship/v1/shipments/cancel"): ("fedex", "cancel"),
        ("POST", "/fedex/ship/v1/shipments/packages/validate"): ("fedex", "validate"),
        ("POST", "/fedex/rate/v1/rates/quotes"): ("fedex", "rate"),
        ("POST", "/fedex/track/v1/trackingnumbers"): ("fedex", "track"),
        ("POST", "/fedex/track/v1/referencenumbers"): ("fedex", "track_reference"),
        ("POST", "/dhl/parcel/de/account/auth/ropc/v1/token"): ("dhl", "token"),
        ("POST", "/dhl/parcel/de/shipping/v2/orders"): ("dhl", "validate" if "validate=true" in query else "ship"),
        ("GET", "/dhl/parcel/de/shipping/v2/orders"): ("dhl", "get"),
        ("DELETE", "/dhl/parcel/de/shipping/v2/orders"): ("dhl", "cancel"),
        ("POST", "/dhl/parcel/de/shipping/v2/manifests"): ("dhl", "manifest"),
        ("GET", "/dhl/parcel/de/shipping/v2/manifests"): ("dhl", "manifest"),
        ("GET", "/dhl/parcel/de/tracking/v0/shipments"): ("dhl", "track"),
    }
    known = table.get((method, path))
    if known is not None:
        return known
    if path.startswith("/fedex/"):
        return "fedex", "other"
    return ("dhl", "other") if path.startswith("/dhl/") else None


def error_answer(carrier: Carrier, status: int) -> tuple[bytes, str]:
    """A failure of the whole service in the carrier's shape: the body and its content type."""
    if carrier == "fedex":
        codes = {
            400: "BAD.REQUEST.ERROR",
            401: "NOT.AUTHORIZED.ERROR",
            403: "FORBIDDEN.ERROR",
            404: "NOT.FOUND.ERROR",
            429: "TOO.MANY.REQUESTS.ERROR",
            500: "INTERNAL.SERVER.ERROR",
        }
        code = codes.get(status, "SERVICE.UNAVAILABLE.ERROR")
        body = {
            "transactionId": "fault-on-demand",
            "errors": [{"code": code, "message": f"The service refused this call with {status}."}],
        }
        return json.dumps(body).encode(), "application/json;charset=UTF-8"
    titles = {400: "Bad Request", 401: "Unauthorized", 429: "Too many requests within defined time period"}
    title = titles.get(status, "Service unavailable")
    problem = {"title": title, "status": status, "detail": f"The service refused this call with {status}."}
    return json.dumps(problem).encode(), "application/problem+json"


class Gate:
    """ASGI application in front of the carriers: records each call and plays the fault it meets, if any."""

    def __init__(self, inner: Application, store: Store, board: FaultBoard, clock: Clock) -> None:
        self._inner = inner
        self._store = store
        self._board = board
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection; anything but a carrier's HTTP call passes through untouched."""
        query = scope.get("query_string", b"").decode("latin-1")
        target = operation_of(scope["method"], scope["path"], query) if scope["type"] == "http" else None
        if target is None:
            await self._inner(scope, receive, send)
            return
        body = await _whole_body(receive)
        if body is None:
            await _answer(send, 413, b"", "text/plain")
            return
        call = self._record(scope, target, body)
        fault = self._board.take(*target)

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                call.status = message["status"]
            await send(message)

        if fault is None:
            await self._inner(scope, _replay(body, receive), watched)
            return
        call.fault = fault.kind
        await asyncio.sleep(fault.latency_ms / 1_000)
        await self._play(fault, call, scope, (body, receive, watched))

    async def _play(self, fault: Fault, call: Call, scope: Scope, wires: tuple[bytes, Receive, Send]) -> None:
        body, receive, send = wires
        match fault.kind:
            case "latency":
                await self._inner(scope, _replay(body, receive), send)
            case "status":
                content, media_type = error_answer(call.carrier, fault.status)
                await _answer(send, fault.status, content, media_type)
            case "html":
                page = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
                await _answer(send, 502, page, "text/html")
            case "not_json":
                await _answer(send, 200, b"upstream connect error or disconnect/reset before headers", "text/plain")
            case "reset":
                await _drop(scope, receive)
            case "hang":
                await _hang(scope, receive)
            case "lost_answer":

                async def swallow(message: Message) -> None:
                    """The work is done and its answer goes nowhere."""

                await self._inner(scope, _replay(body, receive), swallow)
                await (_drop if fault.ending == "reset" else _hang)(scope, receive)

    def _record(self, scope: Scope, target: tuple[Carrier, Operation], body: bytes) -> Call:
        carrier, operation = target
        call = Call(
            carrier=carrier,
            operation=operation,
            method=scope["method"],
            path=scope["path"],
            query=scope.get("query_string", b"").decode("latin-1"),
            headers={
                name.decode("latin-1"): "(kept secret)" if name.decode() in SECRET_HEADERS else value.decode("latin-1")
                for name, value in scope["headers"]
            },
            # A token request carries the secrets themselves.
            body="(kept secret)" if operation == "token" else body.decode("utf-8", "replace")[:MAX_RECORDED_BODY_CHARS],
            at=self._clock(),
        )
        self._store.record(call)
        return call


async def _whole_body(receive: Receive) -> bytes | None:
    """The request's body; None when it is larger than `MAX_BODY_BYTES`."""
    chunks = bytearray()
    while True:
        message = await receive()
        chunks += message.get("body", b"")
        if len(chunks) > MAX_BODY_BYTES:
            return None
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            return bytes(chunks)


def _replay(body: bytes, receive: Receive) -> Receive:
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return pending.pop() if pending else await receive()

    return replayed


async def _answer(send: Send, status: int, body: bytes, media_type: str) -> None:
    headers = [(b"content-type", media_type.encode()), (b"content-length", str(len(body)).encode())]
    if status == 429:  # noqa: PLR2004 - the HTTP status that wants Retry-After
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _drop(scope: Scope, receive: Receive) -> None:
    abort_connection(scope)
    # Until the server has noticed, returning would make it try to send a 500 on the dead connection.
    await receive()


async def _hang(scope: Scope, receive: Receive) -> None:
    try:
        async with asyncio.timeout(MAX_HANG_S):
            # The body is read, so the next message is the caller's going away.
            await receive()
    except (TimeoutError, asyncio.CancelledError):
        # Cancelled: the double is stopping. Its end must not look like an answer either.
        await _drop(scope, receive)
