"""What shipping publishes is what it committed to publish."""

import json
from pathlib import Path

import jsonschema
import pytest
from rappit_shipping.messages import ShipmentChanged

CONTRACT = Path(__file__).parents[2] / "contracts" / ShipmentChanged.event_name
EXAMPLES = sorted((CONTRACT / "examples").glob("*.json"))


def schema():
    return json.loads((CONTRACT / "schema.json").read_text())


def test_the_model_still_has_the_released_schema():
    assert ShipmentChanged.model_json_schema(mode="serialization") == schema()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_fit_the_schema_and_pass_through_the_model_unchanged(path):
    example = json.loads(path.read_text())
    jsonschema.validate(example, schema(), format_checker=jsonschema.FormatChecker())
    assert json.loads(ShipmentChanged.model_validate(example).model_dump_json()) == example


def test_both_statuses_have_an_example():
    assert {json.loads(path.read_text())["status"] for path in EXAMPLES} == {"labelled", "voided"}
