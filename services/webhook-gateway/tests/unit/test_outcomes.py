"""Every webhook is counted once, under what became of it."""

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from rappit_gateway.endpoints.outcomes import Outcomes


@pytest.fixture
def reader():
    return InMemoryMetricReader()


def test_outcomes_are_counted_by_name(reader):
    provider = MeterProvider([reader])
    outcomes = Outcomes(provider.get_meter("test"))
    for outcome in ("accepted", "bad_signature", "accepted"):
        outcomes.count(outcome)
    [resource] = reader.get_metrics_data().resource_metrics
    [metric] = resource.scope_metrics[0].metrics
    assert metric.name == "rappit.webhooks"
    assert {p.attributes["outcome"]: p.value for p in metric.data.data_points} == {"accepted": 2, "bad_signature": 1}
    provider.shutdown()
