"""TEST DOUBLE of the public APIs: speaks what the console uses of them over real HTTP, from memory.

It decides nothing by itself beyond what the tests need: it refuses with the words it was given, so that a page can be
compared with them. The real APIs are met in the e2e tests.
"""

import threading
import time
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

PASSWORD = "a-long-test-password"
MERCHANT = "owner@acme.example"
VIEWER = "viewer@acme.example"
OPERATOR = "operator@rappit.example"
ROLES = {MERCHANT: "owner", VIEWER: "viewer", OPERATOR: "operator"}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
ORDER_ID = UUID("11111111-1111-4111-8111-111111111111")
BACKORDERED_ID = UUID("22222222-2222-4222-8222-222222222222")
LETTER_ID = UUID("33333333-3333-4333-8333-333333333333")
SHIPPING_LETTER_ID = UUID("44444444-4444-4444-8444-444444444444")
HOSTILE = '<script>alert("x")</script><img src=x onerror=alert(1)>'
BACKORDERED = "Order 1002 is backordered: it waits for stock."
INSUFFICIENT = "Insufficient stock for SKU MUG-BLUE: 7 requested, 2 available in MAIN."
WRONG = "The e-mail address or the password is wrong."
AT = "2026-11-23T21:30:00Z"


@dataclass
class Seen:
    """One request, as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass
class World:
    """What the double knows and what it saw."""

    requests: list[Seen] = field(default_factory=list)
    access_tokens: dict[str, str] = field(default_factory=dict)
    refresh_tokens: dict[str, str] = field(default_factory=dict)
    expires_in_s: int = 900
    broken: dict[str, tuple[int, dict[str, Any] | None]] = field(default_factory=dict)
    orders: dict[UUID, dict[str, Any]] = field(default_factory=dict)
    shipments: dict[str, dict[str, Any]] = field(default_factory=dict)
    letters: dict[UUID, dict[str, Any]] = field(default_factory=dict)
    levels: list[dict[str, Any]] = field(default_factory=list)

    def reset(self) -> None:
        """Forget everything, and begin with the same goods as always."""
        fresh = World()
        for name in fresh.__dataclass_fields__:
            setattr(self, name, getattr(fresh, name))
        self.orders = {
            ORDER_ID: _order(ORDER_ID, "1001", "reserved"),
            BACKORDERED_ID: {
                **_order(BACKORDERED_ID, "1002", "backordered"),
                "hold": {
                    "reason": "insufficient_stock",
                    "message": "Insufficient stock: SKU MUG-BLUE needs 5, 2 available.",
                },
                "allocations": [],
                "shortages": [{"sku": "MUG-BLUE", "requested": 5, "available": 2}],
            },
        }
        for n in range(30):
            made = uuid4()
            self.orders[made] = _order(made, str(2000 + n), ("received", "on_hold", "cancelled")[n % 3])
        self.letters = {
            LETTER_ID: _letter(LETTER_ID, "orders"),
            SHIPPING_LETTER_ID: _letter(SHIPPING_LETTER_ID, "shipping"),
        }
        self.levels = [
            _level("MUG-BLUE", "MAIN", 2, 0),
            _level("SHIRT-RED-M", "MAIN", 40, 3),
            _level("SHIRT-RED-M", "EAST", 12, 12),
        ]

    def asked(self, method: str, path: str) -> list[Seen]:
        """Return the requests for one path."""
        return [seen for seen in self.requests if (seen.method, seen.path) == (method, path)]


def _order(order_id: UUID, number: str, state: str) -> dict[str, Any]:
    return {
        "id": str(order_id),
        "order_id": str(order_id),
        "order_version": 1,
        "external_order_id": f"558{number}",
        "number": number,
        "state": state,
        "payment_state": "paid",
        "currency": "EUR",
        "total": "59.80",
        "placed_at": AT,
        "updated_at": AT,
        "customer": {"name": "Ada Lovelace", "email": "ada@example.com"},
        "shipping_address": {
            "name": "Ada Lovelace",
            "company": None,
            "line1": "Hauptstrasse 1",
            "line2": None,
            "city": "Berlin",
            "region": None,
            "postal_code": "10115",
            "country_code": "DE",
            "phone": None,
            "email": None,
        },
        "lines": [
            {
                "line_id": "l1",
                "sku": "SHIRT-RED-M",
                "name": "Red shirt, M",
                "quantity": 2,
                "unit_price": "29.90",
                "requires_shipping": True,
            }
        ],
        "allocations": [{"sku": "SHIRT-RED-M", "warehouse_code": "MAIN", "quantity": 2}],
        "hold": None,
        "shortages": [],
        "shipments": [],
        "timeline": [{"at": AT, "kind": "placed", "message": "Placed in the shop.", "actor": "shopify"}],
    }


def _letter(letter_id: UUID, service: str) -> dict[str, Any]:
    return {
        "id": str(letter_id),
        "service": service,
        "queue": f"{service}.accept-webhook",
        "event": "gateway.webhook-received.v1",
        "message_id": "m-1",
        "organization_id": str(uuid4()),
        "status": "dead",
        "error_type": "UnreadableWebhookError",
        "error_message": "The body is not JSON: line 1 column 5.",
        "attempts": 1,
        "failures": 1,
        "trace_id": TRACE,
        "first_failed_at": AT,
        "last_failed_at": AT,
        "headers": {"rappit-topic": "orders/create", "x": HOSTILE},
        "content_type": "application/json",
        "body": '{"id":1001,"note":"<b>caf\u00e9</b>"}',
        "body_encoding": "utf-8",
        "error_stack": 'Traceback (most recent call last):\n  File "accept.py", line 7',
        "requeued_by": None,
    }


def _level(sku: str, warehouse: str, total: int, reserved: int) -> dict[str, Any]:
    return {
        "sku": sku,
        "warehouse_code": warehouse,
        "quantity_total": total,
        "quantity_reserved": reserved,
        "quantity_available": total - reserved,
    }


def problem(status: int, code: str, detail: str, **fields: Any) -> JSONResponse:
    """Return a problem as the real APIs word them."""
    body = {**fields, "type": "about:blank", "title": "x", "status": status, "code": code, "detail": detail}
    return JSONResponse({**body, "trace_id": TRACE}, status, None, "application/problem+json")


def make_upstream(world: World) -> FastAPI:
    """Return the double as an app."""
    app = FastAPI()

    @app.middleware("http")
    async def watch(request: Request, call_next: Any) -> Response:
        path = request.url.path
        body = await request.body()
        world.requests.append(
            Seen(request.method, path, dict(request.query_params), dict(request.headers.items()), body)
        )
        for prefix, (status, answer) in world.broken.items():
            if path.startswith(prefix):
                if answer is None:
                    return Response("<html>Bad Gateway</html>", status, media_type="text/html")
                return JSONResponse(answer, status, None, "application/problem+json")
        if not path.startswith("/auth/") or path == "/auth/me":
            token = request.headers.get("authorization", "").removeprefix("Bearer ")
            if token not in world.access_tokens:
                return problem(401, "invalid_token", "The access token has expired: sign in again or refresh it.")
            request.state.email = world.access_tokens[token]
            is_operator = ROLES[request.state.email] == "operator"
            if path != "/auth/me" and is_operator != ("/ops/" in path):
                role = ROLES[request.state.email]
                return problem(403, "missing_role", f"This needs another role; you are {role}.")
        return await call_next(request)

    _add_auth(app, world)
    _add_orders(app, world)
    _add_inventory(app, world)
    _add_shipping(app, world)
    _add_dead_letters(app, world)
    return app


def _add_auth(app: FastAPI, world: World) -> None:
    def pair(email: str) -> dict[str, Any]:
        access, refresh = f"access-{uuid4()}", f"refresh-{uuid4()}"
        world.access_tokens[access], world.refresh_tokens[refresh] = email, email
        return {
            "access_token": access,
            "token_type": "bearer",
            "expires_in_s": world.expires_in_s,
            "refresh_token": refresh,
        }

    @app.post("/auth/login")
    async def login(body: dict[str, str]) -> Any:
        if body["email"] not in ROLES or body["password"] != PASSWORD:
            return problem(401, "invalid_credentials", WRONG)
        return pair(body["email"])

    @app.post("/auth/refresh")
    async def refresh(body: dict[str, str]) -> Any:
        email = world.refresh_tokens.pop(body["refresh_token"], None)  # good for one use, as identity's are
        if email is None:
            return problem(401, "invalid_refresh_token", "The session has ended: sign in again.")
        return pair(email)

    @app.post("/auth/logout", status_code=204)
    async def logout(body: dict[str, str]) -> None:
        world.refresh_tokens.pop(body["refresh_token"], None)

    @app.get("/auth/me")
    async def me(request: Request) -> Any:
        email = request.state.email
        is_operator = ROLES[email] == "operator"
        organization = None if is_operator else {"id": str(uuid4()), "name": "Acme Outdoor", "slug": "acme"}
        return {
            "id": str(uuid4()),
            "kind": "user",
            "email": email,
            "name": "A Person",
            "role": ROLES[email],
            "organization_id": organization and organization["id"],
            "organization": organization,
        }


def _add_orders(app: FastAPI, world: World) -> None:
    @app.get("/orders")
    async def orders(state: str = "", external_order_id: str = "", limit: int = 50, cursor: int = 0) -> Any:
        rows = [
            order
            for order in world.orders.values()
            if state in {"", order["state"]} and external_order_id in {"", order["external_order_id"]}
        ]
        more = str(cursor + limit) if len(rows) > cursor + limit else None
        return {"items": rows[cursor : cursor + limit], "next_cursor": more}

    @app.get("/orders/{order_id}")
    async def order(order_id: UUID) -> Any:
        return world.orders.get(order_id) or problem(404, "order_not_found", f"There is no order {order_id}.")

    @app.post("/orders/{order_id}/cancel")
    async def cancel(order_id: UUID, body: dict[str, str]) -> Any:
        order = world.orders[order_id]
        if world.shipments:
            return problem(409, "labelled_order", "Order 1001 has a label: void it first.")
        order["state"] = "cancelled"
        order["timeline"].append({"at": AT, "kind": "cancelled", "message": body["reason"], "actor": MERCHANT})
        return order


def _add_inventory(app: FastAPI, world: World) -> None:
    @app.get("/inventory/warehouses")
    async def warehouses() -> Any:
        items = [{"code": "MAIN", "name": "Main"}, {"code": "EAST", "name": "East"}]
        return {"items": items if world.levels else [], "next_cursor": None}

    @app.get("/inventory/levels")
    async def levels(sku: str = "", warehouse_code: str = "") -> Any:
        rows = [r for r in world.levels if sku in {"", r["sku"]} and warehouse_code in {"", r["warehouse_code"]}]
        return {"items": rows, "next_cursor": None}

    @app.post("/inventory/adjustments", status_code=201)
    async def adjust(body: dict[str, Any]) -> Any:
        level = next(
            r for r in world.levels if (r["sku"], r["warehouse_code"]) == (body["sku"], body["warehouse_code"])
        )
        if level["quantity_available"] + body["delta"] < 0:
            return problem(409, "insufficient_stock", INSUFFICIENT)
        level["quantity_total"] += body["delta"]
        level["quantity_available"] += body["delta"]
        return level

    @app.post("/inventory/bulk")
    async def bulk(request: Request) -> Any:
        lines = (await request.body()).decode().splitlines()
        if not lines or "sku" not in lines[0]:
            return problem(422, "missing_column", "The file has no column sku: its first line must name the columns.")
        errors: list[dict[str, Any]] = []
        for line, row in enumerate(lines[1:], start=2):
            quantity = row.split(",")[1]
            if not quantity.isdigit():
                message = f"The quantity must be a whole number, 0 or more, not {quantity!r}."
                errors.append(
                    {
                        "line": line,
                        "field": "quantity",
                        "code": "bad_quantity",
                        "message": message,
                        "value": quantity,
                    }
                )
        total = len(lines) - 1
        done = total - len(errors)
        return {
            "total": total,
            "succeeded": done,
            "failed": len(errors),
            "created": 1,
            "updated": done - 1,
            "unchanged": 0,
            "applied": True,
            "duration_ms": 12.5,
            "errors": errors,
            "warnings": [],
        }


def _add_shipping(app: FastAPI, world: World) -> None:
    @app.get("/shipping/carrier-accounts")
    async def accounts() -> Any:
        items = [
            {"id": str(uuid4()), "carrier": "fedex", "name": "FedEx main"},
            {"id": str(uuid4()), "carrier": "dhl", "name": ""},
        ]
        return {"items": items, "next_cursor": None}

    @app.get("/shipping/shipments")
    async def shipments(order_id: str) -> Any:
        return {"items": [s for s in world.shipments.values() if s["order_id"] == order_id], "next_cursor": None}

    @app.post("/shipping/shipments", status_code=201)
    async def buy(body: dict[str, Any]) -> Any:
        if body["order_id"] == str(BACKORDERED_ID):
            return problem(409, "order_not_shippable", BACKORDERED)
        made = str(uuid4())
        world.shipments[made] = {
            "id": made,
            "order_id": body["order_id"],
            "carrier": "fedex",
            "tracking_number": "794600000012",
            "status": "labelled",
            "cost": {"amount": "8.40", "currency": "EUR"},
            "warehouse_code": "MAIN",
        }
        order = world.orders[UUID(body["order_id"])]
        order["state"] = "ready_to_ship"
        order["shipments"] = [{"shipment_id": made, "carrier": "fedex", "status": "labelled"}]
        return world.shipments[made]

    @app.get("/shipping/shipments/{shipment_id}/label")
    async def label(shipment_id: str) -> Any:
        return Response(b"%PDF-1.4 label", media_type="application/pdf")

    @app.post("/shipping/shipments/{shipment_id}/void")
    async def void(shipment_id: str) -> Any:
        world.shipments[shipment_id]["status"] = "voided"
        order = world.orders[UUID(world.shipments[shipment_id]["order_id"])]
        order["state"] = "reserved"
        order["shipments"][0]["status"] = "voided"
        return world.shipments[shipment_id]


def _add_dead_letters(app: FastAPI, world: World) -> None:
    @app.get("/{service}/ops/dead-letters")
    async def letters(service: str, status: str = "", limit: int = 50, cursor: int = 0) -> Any:
        rows = [x for x in world.letters.values() if x["service"] == service and status in {"", x["status"]}]
        more = str(cursor + limit) if len(rows) > cursor + limit else None
        return {"items": rows[cursor : cursor + limit], "next_cursor": more}

    @app.get("/{service}/ops/dead-letters/{letter_id}")
    async def letter(service: str, letter_id: UUID) -> Any:
        found = world.letters[letter_id]
        if found["status"] == "requeueing":
            found["status"] = "requeued"  # the broker confirmed meanwhile
            return {**found, "status": "requeueing"}
        return found

    @app.post("/{service}/ops/dead-letters/{letter_id}/requeue", status_code=202)
    async def requeue(service: str, letter_id: UUID) -> Any:
        found = world.letters[letter_id]
        if found["status"] != "dead":
            return problem(409, "dead_letter_not_dead", "This dead letter was requeued already.")
        found |= {"status": "requeueing", "requeued_by": OPERATOR}
        return found


class Served:
    """An app on a real port, in a thread of its own."""

    def __init__(self, app: Any) -> None:
        self._server = uvicorn.Server(
            uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, access_log=False, lifespan="on")
        )
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def __enter__(self) -> str:
        self._thread.start()
        deadline = time.monotonic() + 20
        while not self._server.started:
            assert time.monotonic() < deadline, "the test's server did not start"
            assert self._thread.is_alive(), "the test's server ended at once"
            threading.Event().wait(0.01)
        return f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(20)
