"""The committed contract is what the gateway publishes."""

import json
from pathlib import Path

import jsonschema
import pytest
from rappit_common.clock import new_id
from rappit_gateway.domain.channels import KnownChannel, Provider
from rappit_gateway.domain.signatures import Delivery
from rappit_gateway.messages import WebhookReceived, WebhookReceivedHeaders
from rappit_gateway.service.acceptance import VerifiedWebhook, message_headers

CONTRACT = Path(__file__).parents[2] / "contracts" / "gateway.webhook-received.v1"
SCHEMA = json.loads((CONTRACT / "schema.json").read_text())
EXAMPLES = sorted((CONTRACT / "examples").glob("*.json"))


def test_model_is_the_committed_schema():
    committed = {name: value for name, value in SCHEMA.items() if name != "$schema"}
    assert WebhookReceived.model_json_schema() == committed


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_fit_and_round_trip(path):
    example = json.loads(path.read_text())
    jsonschema.Draft202012Validator(SCHEMA).validate(example)
    read = WebhookReceived.model_validate(example)
    assert WebhookReceived.model_validate_json(read.model_dump_json(by_alias=True)) == read


def test_there_is_an_example_of_each_provider():
    providers = {json.loads(path.read_text())["headers"]["rappit-provider"] for path in EXAMPLES}
    assert providers == set(Provider)


@pytest.mark.parametrize("provider", list(Provider))
def test_published_headers_fit_the_contract_even_when_everything_is_as_long_as_it_may_be(provider):
    channel = KnownChannel(new_id(), new_id(), provider, None, ())
    webhook = VerifiedWebhook(
        channel=channel,
        delivery=Delivery("t" * 255, "d" * 255, "k" * 600, "s" * 255),
        body=b"",
        content_type="c" * 255,
        traceparent=f"00-{'a' * 32}-{'b' * 16}-01",
        received_at_s=1_700_000_000.5,
    )
    headers = message_headers(webhook)
    jsonschema.Draft202012Validator(SCHEMA).validate({"headers": headers, "body": ""})
    read = WebhookReceivedHeaders.model_validate(headers)
    assert (read.organization_id, read.channel_id) == (channel.organization_id, channel.channel_id)
    assert read.received_at.isoformat() == "2023-11-14T22:13:20.500000+00:00"
