"""What this service publishes is what its committed contracts say."""

import json
from pathlib import Path

import jsonschema
import pytest
from rappit_inventory.messages import ReservationChanged, StockArrived, StockChanged, StockLow, WaitingFillable

CONTRACTS = Path(__file__).parents[2] / "contracts"
EVENTS = {event.event_name: event for event in (ReservationChanged, StockChanged, StockArrived, StockLow)}
EXAMPLES = sorted(CONTRACTS.glob("*/examples/*.json"))


def schema_of(name):
    return json.loads((CONTRACTS / name / "schema.json").read_text())


def test_every_event_has_a_contract_with_examples():
    assert {path.parent.parent.name for path in EXAMPLES} == set(EVENTS) == {path.name for path in CONTRACTS.iterdir()}


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_released_schema_has_not_changed(name):
    assert EVENTS[name].model_json_schema(mode="serialization") == schema_of(name)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.parent.name}-{path.stem}")
def test_example_fits_its_schema_and_round_trips(path):
    name = path.parent.parent.name
    example = json.loads(path.read_text())
    jsonschema.Draft202012Validator(schema_of(name), format_checker=jsonschema.FormatChecker()).validate(example)
    assert EVENTS[name].model_validate_json(path.read_bytes()).model_dump(mode="json") == example


def test_schema_refuses_what_the_contract_does_not_name():
    example = json.loads((CONTRACTS / "inventory.reservation-changed.v1/examples/reserved.json").read_text())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**example, "status": "sold"}, schema_of("inventory.reservation-changed.v1"))


def test_own_reader_understands_own_events():
    for path in CONTRACTS.glob("inventory.stock-arrived.v1/examples/*.json"):
        published = StockArrived.model_validate_json(path.read_bytes())
        read = WaitingFillable.model_validate_json(path.read_bytes())
        assert (read.sku_ids, read.after) == (published.sku_ids, published.after)
        assert read.after_priority == published.after_priority


def test_a_step_told_before_priorities_were_is_understood():
    name = "inventory.stock-arrived.v1"
    example = json.loads((CONTRACTS / name / "examples/next-step.json").read_text())
    del example["after_priority"]
    jsonschema.validate(example, schema_of(name))
    assert WaitingFillable.model_validate(example).after_priority is None
