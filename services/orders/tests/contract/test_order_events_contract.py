"""What orders publishes is what it committed to publish, and it reads what the others committed to publish."""

import json
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import pytest
from rappit_orders.domain.channels import read_delivery
from rappit_orders.domain.channels.fields import UnreadableBodyError
from rappit_orders.domain.channels.interface import Delivery
from rappit_orders.domain.commands import ReceiveOrder
from rappit_orders.domain.values import ReservationStatus, ShipmentStatus
from rappit_orders.messages import (
    DeliverySettled,
    OrderCancelled,
    OrderChanged,
    OrderPlaced,
    ReservationAnswer,
    ShipmentNews,
    WebhookHeaders,
)

SERVICES = Path(__file__).parents[3]
OURS = Path(__file__).parents[2] / "contracts"
PUBLISHED = (OrderPlaced, OrderChanged, OrderCancelled, DeliverySettled)


def examples(folder):
    found = sorted((folder / "examples").glob("*.json"))
    assert found, f"no examples in {folder}"
    return found


def theirs(service, event):
    return examples(SERVICES / service / "contracts" / event)


def name(path):
    return f"{path.parent.parent.name}/{path.stem}"


@pytest.mark.parametrize("model", PUBLISHED, ids=lambda model: model.event_name)
def test_the_model_still_has_the_released_schema(model):
    released = json.loads((OURS / model.event_name / "schema.json").read_text())
    assert model.model_json_schema(mode="serialization") == released


@pytest.mark.parametrize(
    ("model", "path"),
    [(model, path) for model in PUBLISHED for path in examples(OURS / model.event_name)],
    ids=lambda value: name(value) if isinstance(value, Path) else "",
)
def test_examples_fit_the_schema_and_pass_through_the_model_unchanged(model, path):
    example = json.loads(path.read_text())
    schema = json.loads((OURS / model.event_name / "schema.json").read_text())
    jsonschema.validate(example, schema, format_checker=jsonschema.FormatChecker())
    assert json.loads(model.model_validate(example).model_dump_json()) == example


def test_every_folder_of_contracts_is_of_an_event_we_publish():
    assert {folder.name for folder in OURS.iterdir()} == {model.event_name for model in PUBLISHED}


@pytest.mark.parametrize("path", theirs("inventory", "inventory.reservation-changed.v1"), ids=name)
def test_reads_inventorys_answers(path):
    example = json.loads(path.read_text())
    command = ReservationAnswer.model_validate({**example, "a_field_of_next_year": 1}).to_command()
    assert (str(command.order_id), command.order_version) == (example["order_id"], example["order_version"])
    assert command.reservation.version == example["reservation_version"]
    assert command.reservation.status is ReservationStatus(example["status"])
    assert [(a.sku, a.warehouse_code, a.quantity) for a in command.reservation.allocations] == [
        tuple(a.values()) for a in example["allocations"]
    ]
    assert [s.requested for s in command.reservation.shortages] == [s["requested"] for s in example["shortages"]]
    assert command.reservation.message == example["message"]


@pytest.mark.parametrize("path", theirs("shipping", "shipping.shipment-changed.v1"), ids=name)
def test_reads_shippings_news(path):
    example = json.loads(path.read_text())
    command = ShipmentNews.model_validate({**example, "a_field_of_next_year": 1}).to_command()
    assert str(command.order_id) == example["order_id"]
    assert str(command.shipment.shipment_id) == example["shipment_id"]
    assert command.shipment.version == example["shipment_version"]
    assert command.shipment.status is ShipmentStatus(example["status"])
    assert command.shipment.tracking_number == example["tracking_number"]


@pytest.mark.parametrize("path", theirs("webhook-gateway", "gateway.webhook-received.v1"), ids=name)
def test_reads_the_gateways_webhooks(path):
    example = json.loads(path.read_text())
    headers = WebhookHeaders.model_validate({**example["headers"], "x-death": []})
    assert str(headers.channel_id) == example["headers"]["rappit-channel-id"]
    assert headers.received_at == datetime(2026, 11, 20, 9, 30, 0, 125000, UTC)
    delivery = Delivery(headers.topic, example["body"].encode(), headers.received_at)
    if path.stem == "malformed-body":
        with pytest.raises(UnreadableBodyError):
            read_delivery(headers.provider, delivery)
        return
    command = read_delivery(headers.provider, delivery)
    assert isinstance(command, ReceiveOrder)
    assert command.cancelled is ("cancelled" in path.stem)
    assert command.content.lines
