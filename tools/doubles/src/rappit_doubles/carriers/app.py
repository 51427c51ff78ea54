"""The carriers' application: FedEx under `/fedex`, DHL under `/dhl`, their control under `/_control`."""

import random

from fastapi import FastAPI

from rappit_doubles.asgi import Application
from rappit_doubles.carriers.control import Control
from rappit_doubles.carriers.dhl import DhlParcelDe
from rappit_doubles.carriers.faults import FaultBoard, Gate
from rappit_doubles.carriers.fedex import Fedex
from rappit_doubles.carriers.numbers import TrackingNumbers
from rappit_doubles.carriers.store import MAX_SHIPMENTS, Store
from rappit_doubles.carriers.tokens import Accounts, Tokens
from rappit_doubles.clock import Clock, now_utc
from rappit_doubles.health import health_router


def carriers_app(
    *, clock: Clock = now_utc, rng: random.Random | None = None, max_shipments: int = MAX_SHIPMENTS
) -> Application:
    """The carriers as one ASGI application with its own empty memory.

    Args:
        clock: Where the carriers read the time.
        rng: Where tokens and the starts of the tracking number pools come from; the system's randomness by default.
        max_shipments: How many shipments are remembered; the oldest are forgotten.

    Returns:
        An application to serve with `rappit_doubles.serving` (whose server can reset connections).
    """
    source = rng or random.SystemRandom()
    store, board, accounts = Store(max_shipments=max_shipments), FaultBoard(), Accounts()
    tokens, numbers = Tokens(clock, source), TrackingNumbers(source)
    app = FastAPI(title="Rappit carrier doubles", version="1")
    app.include_router(health_router())
    app.include_router(Control(store, board, tokens, accounts, clock).router())
    app.include_router(Fedex(store, tokens, accounts, numbers, clock).router())
    app.include_router(DhlParcelDe(store, tokens, accounts, numbers, clock).router())
    return Gate(app, store, board, clock)
