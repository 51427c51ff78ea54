"""What the carriers remember is bounded, and their numbers carry the right check digits."""

import random
from datetime import UTC, datetime
from decimal import Decimal

from rappit_doubles.carriers.numbers import TrackingNumbers, dhl_check_digit, fedex_check_digit
from rappit_doubles.carriers.store import Party, Shipment, Store

PARTY = Party("Ada", "", "Weg 1", "Bonn", "", "53113", "DEU")


def shipment(number, pieces=()):
    return Shipment(
        "dhl", number, "a", "ref", "V01PAK", PARTY, PARTY, Decimal(1), datetime.now(UTC), "", "PDF", pieces=[*pieces]
    )


def test_forgets_the_oldest_shipment_and_its_pieces():
    store = Store(max_shipments=2)
    for number in ("1", "2", "3"):
        store.add(shipment(number, [number, f"{number}-b"]))
    assert [store.find("dhl", number) is not None for number in ("1", "1-b", "2-b", "3")] == [False, False, True, True]
    assert store.find("fedex", "3") is None
    assert len(store.shipments(reference="ref")) == 2


def test_a_known_fedex_number_has_the_check_digit_we_compute():
    # A worked example of the weighting that has been public for years.
    assert fedex_check_digit("01234567898") == 3


def test_a_known_dhl_number_has_the_check_digit_we_compute():
    # An example number that a tracking guide prints.
    assert dhl_check_digit("0034043383644263659") == 7


def test_numbers_never_repeat():
    numbers = TrackingNumbers(random.Random(1))
    assert len({numbers.fedex() for _ in range(1_000)}) == 1_000
    assert len({numbers.dhl() for _ in range(1_000)}) == 1_000
