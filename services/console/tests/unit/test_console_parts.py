import base64
import os
import subprocess
import sys
import tracemalloc
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr
from rappit_common.web.auth import Role
from rappit_console.formats import duration, happening, moment, money, name, pretty, words
from rappit_console.pages.orders import number
from rappit_console.pages.stock import whole
from rappit_console.return_path import safe_return_path
from rappit_console.session import OversizeSessionError, Session, SessionSeal

OLD, NEW = SecretStr("old-secret-of-at-least-32-characters"), SecretStr("new-secret-of-at-least-32-characters")
SESSION = Session(access_token="a", refresh_token="r", expires_at_s=1.0, role=Role.STAFF, label="ada@example.com")


def test_a_session_survives_sealing_and_a_rotated_secret() -> None:
    sealed = SessionSeal(OLD, None, lifetime_s=300).seal(SESSION)
    assert SessionSeal(NEW, OLD, lifetime_s=300).open(sealed) == SESSION


def test_a_session_of_another_secret_or_a_changed_one_is_none() -> None:
    seal = SessionSeal(OLD, None, lifetime_s=300)
    sealed = seal.seal(SESSION)
    assert SessionSeal(NEW, None, lifetime_s=300).open(sealed) is None
    assert seal.open(sealed[:-5] + "AAAA=") is None
    assert seal.open(None) is None
    assert seal.open("\u00fc") is None


def test_a_stale_session_is_none() -> None:
    sealed = SessionSeal(OLD, None, lifetime_s=300).seal(SESSION)
    assert SessionSeal(OLD, None, lifetime_s=-1).open(sealed) is None


def test_a_session_larger_than_a_cookie_is_refused() -> None:
    large = SESSION.model_copy(update={"access_token": "x" * 4000})
    with pytest.raises(OversizeSessionError):
        SessionSeal(OLD, None, lifetime_s=300).seal(large)


@pytest.mark.parametrize(
    ("wanted", "path"),
    [
        ("/console/orders?state=on_hold", "/console/orders?state=on_hold"),
        ("http://anywhere/console/stock", "/console/stock"),
        ("https://evil.example/", "/console/"),
        ("//evil.example/console/", "/console/"),
        ("/console//evil.example", "/console/"),
        ("/console/../orders", "/console/"),
        ("/console/\\evil", "/console/"),
        ("/console/a\r\nSet-Cookie: x", "/console/"),
        ("javascript:alert(1)", "/console/"),
        ("/console/sign-in?next=/x", "/console/"),
        ("/orders", "/console/"),
        ("/console/" + "x" * 2000, "/console/"),
        (None, "/console/"),
    ],
)
def test_only_pages_of_the_console_are_returned_to(wanted, path) -> None:
    assert safe_return_path(wanted) == path


def test_values_read_well() -> None:
    assert words("ready_to_ship") == "Ready to ship"
    assert money("59.80", "EUR") == "59.80 EUR"
    assert moment(datetime(2026, 11, 23, 21, 5, tzinfo=UTC)) == "23 Nov 2026, 21:05 UTC"
    assert (duration(12.4), duration(3_440)) == ("12 ms", "3.4 s")


def test_states_carriers_and_happenings_read_well() -> None:
    assert [words(code) for code in ("dhl", "fedex", "outcome_unknown", "void_pending")] == [
        "DHL",
        "FedEx",
        "Asking the carrier",
        "Being voided",
    ]
    assert (name("woocommerce"), name("shipping"), name("ada@acme.example")) == (
        "WooCommerce",
        "Shipping",
        "ada@acme.example",
    )
    assert happening("state_changed", "reserved \u2192 ready_to_ship") == "Reserved \u2192 Ready to ship"
    assert happening("stock_reserved", "Reserved 3 units in BER.") == "Reserved 3 units in BER."
    assert happening("order_received", "") == "Order received"


def test_bodies_are_laid_out_for_reading() -> None:
    assert pretty('{"a":"\u00e9"}') == '{\n  "a": "\u00e9"\n}'
    assert pretty("not json") == "not json"
    assert pretty(base64.b64encode(b"\x00\xffAB").decode(), "base64").endswith("  ..AB")
    assert len(pretty("x" * 300_000)) < 201_000
    assert pretty("[" * 100_000) == "[" * 100_000


def test_a_small_body_that_would_be_huge_when_indented_costs_no_more_than_what_is_shown() -> None:
    deep = "[" * 200 + "1," * 100_000 + "1" + "]" * 200
    tracemalloc.start()
    try:
        assert len(pretty(deep)) < 201_000
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most_bytes < 8 * 1024 * 1024


def test_what_is_no_number_goes_to_the_api_as_it_is() -> None:
    assert (number("1,5"), number("heavy")) == (1.5, "heavy")
    assert (whole("-3"), whole("1.5")) == (-3, "1.5")


@pytest.mark.parametrize(
    ("secret", "words_"), [("", "SESSION_SECRET is not set"), ("short", "SESSION_SECRET is too weak")]
)
def test_refuses_to_start_without_a_strong_secret(secret, words_) -> None:
    environment = {**os.environ, "SESSION_SECRET": secret, "JWT_SECRET": "x1" * 4 + "abcdefghijklmnopqrstuvwxyz"}
    result = subprocess.run(
        [sys.executable, "-m", "rappit_console", "serve"],
        env={**environment, "API_BASE_URL": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 78
    assert words_ in result.stderr
    assert "short" not in result.stderr
