"""Tracking numbers with the check digits that the carriers' own scanners would accept."""

import itertools
import random
import threading
from typing import Final

FEDEX_WEIGHTS: Final = (1, 3, 7)
FEDEX_PREFIX: Final = "79"
DHL_PREFIX: Final = "00340434"
SEQUENCE_SPAN: Final = 10**9


def fedex_check_digit(digits: str) -> int:
    """Check digit of a FedEx Express number: weights 1, 3, 7 from the right, modulo 11, where 10 counts as 0."""
    total = sum(
        int(digit) * weight for digit, weight in zip(reversed(digits), itertools.cycle(FEDEX_WEIGHTS), strict=False)
    )
    return total % 11 % 10


def dhl_check_digit(digits: str) -> int:
    """Check digit of a DHL parcel number: modulo 10 with weights 3 and 1 from the right, as in the SSCC of GS1."""
    total = sum(int(digit) * weight for digit, weight in zip(reversed(digits), itertools.cycle((3, 1)), strict=False))
    return -total % 10


class TrackingNumbers:
    """Hands out numbers in sequence from a random start, as a carrier's pool does, so none comes twice in a run."""

    def __init__(self, rng: random.Random) -> None:
        self._lock = threading.Lock()
        self._fedex = itertools.count(rng.randrange(SEQUENCE_SPAN))
        self._dhl = itertools.count(rng.randrange(SEQUENCE_SPAN))

    def fedex(self) -> str:
        """A 12 digit FedEx number."""
        with self._lock:
            body = f"{FEDEX_PREFIX}{next(self._fedex) % SEQUENCE_SPAN:09d}"
        return f"{body}{fedex_check_digit(body)}"

    def dhl(self) -> str:
        """A 20 digit DHL parcel number."""
        with self._lock:
            body = f"{DHL_PREFIX}{next(self._dhl) % SEQUENCE_SPAN:011d}"
        return f"{body}{dhl_check_digit(body)}"
