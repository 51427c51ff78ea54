"""What a program may ask of an order by the API."""

import json
from datetime import UTC, datetime

import pytest
from orders_payloads import standard_line, standard_message
from rappit_common.clock import new_id
from rappit_orders.domain.channels import read_delivery
from rappit_orders.domain.channels.fields import InvalidDeliveryError, UnreadableBodyError
from rappit_orders.domain.channels.interface import Delivery
from rappit_orders.domain.channels.standard import api_channel_of, read_order
from rappit_orders.endpoints.placement import DESCRIBED_BODY

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def raw(message):
    return json.dumps(message).encode()


@pytest.mark.parametrize("kind", ["order.created", "order.updated", "order.cancelled"])
def test_a_message_is_read_as_its_delivery_by_a_channel_would_be(kind):
    body = raw(standard_message(kind))
    assert read_order(body, NOW) == read_delivery("standard_webhooks", Delivery("", body, NOW))


def test_a_type_that_asks_nothing_of_an_order_is_refused():
    with pytest.raises(InvalidDeliveryError, match=r"order\.created, order\.updated, order\.cancelled") as refused:
        read_order(raw(standard_message("customer.created")), NOW)
    assert refused.value.fields == {"field": "type"}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"lines": [standard_line("1", "BOOK", -1)]}, "data.lines[0].quantity"),
        ({"currency": "Euro"}, "data.currency"),
        ({"id": None}, "data.id"),
        ({"total": "much"}, "data.total"),
    ],
)
def test_what_is_wrong_is_named(changes, field):
    with pytest.raises(InvalidDeliveryError) as refused:
        read_order(raw(standard_message(**changes)), NOW)
    assert refused.value.fields == {"field": field}


def test_a_body_that_is_not_json_is_unreadable():
    with pytest.raises(UnreadableBodyError):
        read_order(b"{", NOW)


def test_each_organization_has_one_channel_of_its_own_for_ever():
    ours, theirs = new_id(), new_id()
    assert api_channel_of(ours) == api_channel_of(ours)
    assert api_channel_of(ours) not in {api_channel_of(theirs), ours}


def test_the_described_body_names_what_the_reader_reads():
    schema = DESCRIBED_BODY["requestBody"]["content"]["application/json"]["schema"]
    example = standard_message()
    assert set(example) == set(schema["properties"])
    assert set(example["data"]) == set(schema["properties"]["data"]["properties"])
    [line] = example["data"]["lines"]
    assert set(line) == set(schema["properties"]["data"]["properties"]["lines"]["items"]["properties"])
    for name in schema["properties"]["data"]["required"]:
        with pytest.raises(InvalidDeliveryError, match=f"data.{name} is missing"):
            read_order(raw({**example, "data": {**example["data"], name: None}}), NOW)
