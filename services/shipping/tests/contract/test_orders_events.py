"""Shipping reads what orders committed to publish, and nothing it does not use."""

import json
from pathlib import Path

import pytest
from rappit_shipping.messages import FOLLOW_ORDERS, OrderSnapshot

CONTRACTS = Path(__file__).parents[3] / "orders" / "contracts"
EXAMPLES = [path for event in FOLLOW_ORDERS.events for path in sorted((CONTRACTS / event / "examples").glob("*.json"))]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parents[1].name}/{path.stem}")
def test_reads_the_publishers_example(path):
    told = json.loads(path.read_text())
    read = OrderSnapshot.model_validate(told)
    assert (str(read.order_id), read.state_version, read.state, read.number) == (
        told["order_id"],
        told["state_version"],
        told["state"],
        told["number"],
    )
    assert [allocation.model_dump() for allocation in read.allocations] == told["allocations"]
    address = told["shipping_address"]
    assert (read.shipping_address and read.shipping_address.model_dump()) == address


def test_every_event_has_examples():
    assert {path.parents[1].name for path in EXAMPLES} == set(FOLLOW_ORDERS.events)
