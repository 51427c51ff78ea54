"""The control API under `/_control`: faults, what was received and sold, scans, credentials, reset."""

from dataclasses import asdict
from typing import Any, Final

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, Field

from rappit_doubles.carriers.faults import Fault, FaultBoard, FaultSpec
from rappit_doubles.carriers.store import Carrier, Operation, ScanEvent, ShipmentStatus, Store
from rappit_doubles.carriers.tokens import Accounts, DhlAccount, FedexAccount, Tokens
from rappit_doubles.carriers.tracking import DHL_CODES, FEDEX_CODES
from rappit_doubles.clock import Clock

MAX_LISTED: Final = 1_000
MAX_ACCOUNTS: Final = 1_000


class Scan(BaseModel, extra="forbid"):
    """A scan to play. FedEx codes: PU IT OD DE DL; DHL codes: PCKDU SRTED ULFMV DLVRD. Any scan means tendered."""

    code: str = Field(max_length=10)
    description: str | None = Field(None, max_length=200)
    city: str = Field("Köln", max_length=80)
    country: str = Field("DE", max_length=3)


class NewFedexAccount(BaseModel, extra="forbid"):
    """One more FedEx customer."""

    api_key: str = Field(min_length=1, max_length=200)
    secret_key: str = Field(min_length=1, max_length=200)
    account_number: str = Field(min_length=1, max_length=20)


class NewDhlAccount(BaseModel, extra="forbid"):
    """One more DHL customer."""

    client_id: str = Field(min_length=1, max_length=200)
    client_secret: str = Field(min_length=1, max_length=200)
    username: str = Field(min_length=1, max_length=200)
    password: str = Field(min_length=1, max_length=200)
    ekp: str = Field(pattern=r"^[0-9]{10}$")


class TokenSettings(BaseModel, extra="forbid"):
    """How long new tokens live, in seconds."""

    lifetime_s: int = Field(ge=0, le=86_400)


class Control:
    """Endpoints for whoever plays the faults and counts the labels; the carriers' callers never see them."""

    def __init__(self, store: Store, board: FaultBoard, tokens: Tokens, accounts: Accounts, clock: Clock) -> None:
        self._store = store
        self._board = board
        self._tokens = tokens
        self._accounts = accounts
        self._clock = clock

    def router(self) -> APIRouter:
        """The routes, below `/_control`."""
        router = APIRouter(prefix="/_control", tags=["control"])
        router.add_api_route("/faults", self.add_fault, methods=["POST"], status_code=201)
        router.add_api_route("/faults", self.list_faults, methods=["GET"])
        router.add_api_route("/faults", self.clear_faults, methods=["DELETE"])
        router.add_api_route("/faults/{fault_id}", self.clear_fault, methods=["DELETE"])
        router.add_api_route("/calls", self.list_calls, methods=["GET"])
        router.add_api_route("/shipments", self.list_shipments, methods=["GET"])
        router.add_api_route("/shipments/{number}/scans", self.scan, methods=["POST"], status_code=201)
        router.add_api_route("/summary", self.summary, methods=["GET"])
        router.add_api_route("/dhl/day-close", self.close_day, methods=["POST"])
        router.add_api_route("/fedex/accounts", self.add_fedex_account, methods=["POST"], status_code=201)
        router.add_api_route("/dhl/accounts", self.add_dhl_account, methods=["POST"], status_code=201)
        router.add_api_route("/tokens/expire", self.expire_tokens, methods=["POST"])
        router.add_api_route("/{carrier}/tokens", self.set_token_lifetime, methods=["PUT"])
        router.add_api_route("/reset", self.reset, methods=["POST"])
        return router

    async def add_fault(self, spec: FaultSpec) -> Fault:
        """Put a fault in force; 409 when there are too many."""
        try:
            return self._board.add(spec)
        except ValueError as full:
            raise HTTPException(409, str(full)) from None

    async def list_faults(self) -> list[Fault]:
        """The faults in force, oldest first."""
        return self._board.in_force()

    async def clear_faults(self, carrier: Carrier | None = None) -> dict[str, int]:
        """End all faults, or one carrier's."""
        return {"ended": self._board.clear(carrier=carrier)}

    async def clear_fault(self, fault_id: int) -> dict[str, int]:
        """End one fault."""
        return {"ended": self._board.clear(fault_id=fault_id)}

    async def list_calls(
        self,
        carrier: Carrier | None = None,
        operation: Operation | None = None,
        limit: int = Query(100, ge=1, le=MAX_LISTED),
    ) -> list[dict[str, Any]]:
        """The newest received calls that match, oldest of them first."""
        return [asdict(call) for call in [*self._store.calls(carrier=carrier, operation=operation)][-limit:]]

    async def list_shipments(
        self,
        carrier: Carrier | None = None,
        reference: str | None = None,
        status: ShipmentStatus | None = None,
        limit: int = Query(100, ge=1, le=MAX_LISTED),
    ) -> list[dict[str, Any]]:
        """The newest shipments that match, oldest of them first; the way to count purchases by reference."""
        found = self._store.shipments(carrier=carrier, reference=reference, status=status)
        return [shipment.summary() for shipment in found[-limit:]]

    async def scan(self, number: str, scan: Scan) -> dict[str, str]:
        """Scan a parcel: it is tendered from then on, and its tracking says so."""
        shipment = self._store.find("fedex", number) or self._store.find("dhl", number)
        if shipment is None:
            raise HTTPException(404, "No carrier sold that number.")
        known = FEDEX_CODES if shipment.carrier == "fedex" else DHL_CODES
        if scan.code not in known:
            raise HTTPException(422, f"{shipment.carrier} has no such code; use one of {', '.join(known)}.")
        if shipment.status == "voided":
            raise HTTPException(409, "The label was voided; nothing can be scanned.")
        self._store.move(shipment, allowed={"purchased", "closed"}, to="tendered")
        sentence = scan.description or known[scan.code]
        self._store.scan(shipment, ScanEvent(scan.code, sentence, scan.city, scan.country, self._clock()))
        return {"status": shipment.status}

    async def summary(self) -> dict[str, dict[str, int]]:
        """How many shipments each carrier has in each status, and how many calls it remembers."""
        told: dict[str, dict[str, int]] = {"fedex": {}, "dhl": {}}
        for shipment in self._store.shipments():
            counts = told[shipment.carrier]
            counts[shipment.status] = counts.get(shipment.status, 0) + 1
        for call in self._store.calls():
            told[call.carrier]["calls"] = told[call.carrier].get("calls", 0) + 1
        return told

    async def close_day(self) -> dict[str, int]:
        """Play 18:00: every open DHL shipment is closed and can no longer be deleted."""
        opened = self._store.shipments(carrier="dhl", status="purchased")
        return {"closed": sum(self._store.move(one, allowed={"purchased"}, to="closed") for one in opened)}

    async def add_fedex_account(self, account: NewFedexAccount) -> dict[str, str]:
        """Let one more FedEx customer in."""
        self._refuse_beyond(len(self._accounts.fedex))
        self._accounts.fedex.append(FedexAccount(**account.model_dump()))
        return {"account_number": account.account_number}

    async def add_dhl_account(self, account: NewDhlAccount) -> dict[str, str]:
        """Let one more DHL customer in."""
        self._refuse_beyond(len(self._accounts.dhl))
        self._accounts.dhl.append(DhlAccount(**account.model_dump()))
        return {"ekp": account.ekp}

    async def expire_tokens(self) -> dict[str, int]:
        """End every token now, so that the next call with one meets a 401."""
        return {"expired": self._tokens.expire_all()}

    async def set_token_lifetime(self, carrier: Carrier, settings: TokenSettings) -> dict[str, int]:
        """Decide how long a carrier's new tokens live."""
        self._tokens.lifetimes_s[carrier] = settings.lifetime_s
        return {"lifetime_s": settings.lifetime_s}

    async def reset(self) -> dict[str, bool]:
        """Forget shipments, calls and faults. Accounts and tokens stay, so callers need not sign in again."""
        self._store.clear()
        self._board.clear()
        return {"reset": True}

    def _refuse_beyond(self, count: int) -> None:
        if count >= MAX_ACCOUNTS:
            raise HTTPException(409, f"There are {MAX_ACCOUNTS} accounts already.")
