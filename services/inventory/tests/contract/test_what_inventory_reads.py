"""Our readers understand what the publishers committed."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError
from rappit_inventory.domain.allocation import Destination
from rappit_inventory.messages import COMMIT, RESERVE, OrderDemand, ShipmentState

SERVICES = Path(__file__).parents[3]


def examples(service, events):
    return [
        path
        for event in events
        for path in sorted((SERVICES / service / "contracts" / event / "examples").glob("*.json"))
    ]


ORDERS = examples("orders", RESERVE.events)
SHIPMENTS = examples("shipping", COMMIT.events)


@pytest.mark.parametrize("event", [*RESERVE.events, *COMMIT.events])
def test_publisher_gives_an_example_of_each_event_we_read(event):
    service = event.partition(".")[0]
    assert list((SERVICES / service / "contracts" / event / "examples").glob("*.json"))


@pytest.mark.parametrize("path", ORDERS, ids=lambda path: f"{path.parent.parent.name}-{path.stem}")
def test_order_snapshots_are_read(path):
    example = json.loads(path.read_text())
    read = OrderDemand.model_validate_json(path.read_bytes())
    assert (str(read.order_id), read.order_version) == (example["order_id"], example["order_version"])
    assert [{"sku": line.sku, "quantity": line.quantity} for line in read.demand] == example["demand"]
    said = (example["shipping_address"] or {}).get("country_code")
    goes_to = read.shipping_address and read.shipping_address.to_destination()
    assert (goes_to and goes_to.country_code) == (None if said == "ZZ" else said)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ({"country_code": "de", "postal_code": " 20 095 "}, Destination("DE", "20095")),
        ({"country_code": "GB", "postal_code": "SW1A-1AA"}, Destination("GB", "SW1A1AA")),
        ({"country_code": "DE", "postal_code": None}, Destination("DE", None)),
        ({"country_code": "DE", "postal_code": "9" * 300}, Destination("DE", "9" * 20)),
        ({"country_code": "DE", "postal_code": ["2"]}, Destination("DE", None)),
        ({"country_code": "DE", "postal_code": "\x00-"}, Destination("DE", None)),
        ({"country_code": "ZZ", "postal_code": "20095"}, None),
        ({"country_code": "\x00\x00"}, None),
        ({"country_code": "Germany"}, None),
        ({}, None),
    ],
)
def test_an_address_is_read_as_far_as_it_tells_a_distance_and_never_in_the_way(address, expected):
    example = json.loads(ORDERS[0].read_text())
    read = OrderDemand.model_validate_json(json.dumps({**example, "shipping_address": address}))
    assert read.shipping_address.to_destination() == expected


@pytest.mark.parametrize("path", SHIPMENTS, ids=lambda path: f"{path.parent.parent.name}-{path.stem}")
def test_shipment_snapshots_are_read(path):
    example = json.loads(path.read_text())
    read = ShipmentState.model_validate_json(path.read_bytes())
    assert (str(read.shipment_id), read.status) == (example["shipment_id"], example["status"])
    assert [{"sku": line.sku, "quantity": line.quantity} for line in read.lines] == example["lines"]


@pytest.mark.parametrize("quantity", [0, -1, 2_147_483_648, "many"])
def test_demand_that_cannot_be_is_unreadable(quantity):
    example = json.loads(ORDERS[0].read_text())
    with pytest.raises(ValidationError):
        OrderDemand.model_validate_json(json.dumps({**example, "demand": [{"sku": "A", "quantity": quantity}]}))
