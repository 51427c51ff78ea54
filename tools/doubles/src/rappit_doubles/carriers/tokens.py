"""OAuth of the two carriers: who may have a token, and which tokens still hold."""

import random
import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias

from rappit_doubles.carriers.store import Carrier
from rappit_doubles.clock import Clock

MAX_TOKENS: Final = 10_000
TOKEN_BYTES: Final = 32
FEDEX_LIFETIME_S: Final = 3_599
DHL_LIFETIME_S: Final = 1_799

TokenState: TypeAlias = Literal["valid", "expired", "unknown"]


@dataclass(frozen=True)
class FedexAccount:
    """The credentials of one FedEx project and the account number it ships on."""

    api_key: str = "l7double0fedex0key"
    secret_key: str = "double-fedex-secret"  # noqa: S105 - a double's well-known credential protects nothing
    account_number: str = "510087100"


@dataclass(frozen=True)
class DhlAccount:
    """The app's credentials, the business portal's user, and the account's 10 digit customer number (EKP)."""

    client_id: str = "double-dhl-client"
    client_secret: str = "double-dhl-secret"  # noqa: S105 - a double's well-known credential protects nothing
    username: str = "double-gkp-user"
    password: str = "double-gkp-password"  # noqa: S105 - a double's well-known credential protects nothing
    ekp: str = "3333333333"


class Accounts:
    """The customers each carrier knows. Starts with the default account of each."""

    def __init__(self) -> None:
        self.fedex: list[FedexAccount] = [FedexAccount()]
        self.dhl: list[DhlAccount] = [DhlAccount()]


class Tokens:
    """Bearer tokens of one double: opaque, unforgeable, and gone after their lifetime."""

    def __init__(self, clock: Clock, rng: random.Random) -> None:
        self._clock = clock
        self._rng = rng
        self._lock = threading.Lock()
        self._issued: OrderedDict[str, tuple[Carrier, FedexAccount | DhlAccount, datetime]] = OrderedDict()
        self.lifetimes_s: dict[Carrier, int] = {"fedex": FEDEX_LIFETIME_S, "dhl": DHL_LIFETIME_S}

    def issue(self, carrier: Carrier, account: FedexAccount | DhlAccount) -> tuple[str, int]:
        """A new token for an account, and its lifetime in seconds."""
        lifetime_s = self.lifetimes_s[carrier]
        token = self._rng.randbytes(TOKEN_BYTES).hex()
        with self._lock:
            self._issued[token] = (carrier, account, self._clock() + timedelta(seconds=lifetime_s))
            while len(self._issued) > MAX_TOKENS:
                self._issued.popitem(last=False)
        return token, lifetime_s

    def check(self, carrier: Carrier, authorization: str | None) -> tuple[TokenState, FedexAccount | DhlAccount | None]:
        """Judge an Authorization header."""
        scheme, _, token = (authorization or "").partition(" ")
        with self._lock:
            issued = self._issued.get(token.strip())
        if scheme.lower() != "bearer" or issued is None or issued[0] != carrier:
            return "unknown", None
        if issued[2] <= self._clock():
            return "expired", None
        return "valid", issued[1]

    def expire_all(self) -> int:
        """End every token now; returns how many there were."""
        with self._lock:
            count = len(self._issued)
            now = self._clock()
            for token, (carrier, account, _) in self._issued.items():
                self._issued[token] = (carrier, account, now)
        return count
