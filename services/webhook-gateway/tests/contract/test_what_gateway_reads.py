"""The gateway reads what orders committed to publish, and no field of next year disturbs it."""

import json
from pathlib import Path

import pytest
from rappit_gateway.domain.deliveries import DeliveryStatus
from rappit_gateway.messages import DeliverySettled

EXAMPLES = sorted(
    (Path(__file__).parents[3] / "orders" / "contracts" / "orders.delivery-settled.v1" / "examples").glob("*.json")
)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_reads_what_became_of_a_delivery(path):
    example = json.loads(path.read_text())
    outcome = DeliverySettled.model_validate({**example, "a_field_of_next_year": 1}).to_outcome("t" * 32)
    assert str(outcome.message_id) == example["message_id"]
    assert outcome.status is DeliveryStatus(example["outcome"])
    assert (outcome.cause, outcome.detail) == (example["error_type"], example["error_message"] or example["note"])
    assert outcome.external_order_id == example["external_order_id"]


def test_there_is_an_example_of_each_outcome():
    told = {json.loads(path.read_text())["outcome"] for path in EXAMPLES}
    assert told == set(DeliveryStatus) - {DeliveryStatus.ACCEPTED, DeliveryStatus.REJECTED}
