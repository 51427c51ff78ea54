"""What a process counts: read by Prometheus at ``/metrics``, and pushed to an OTLP endpoint when one is named.

Instruments are made where they are used, by ``metrics.get_meter``; until a process is configured they count nothing.
"""

from collections.abc import Iterable

from opentelemetry import metrics
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

PUSH_EVERY_S = 30
PUSH_TIMEOUT_S = 5

_meter = metrics.get_meter("rappit")


def configure_metrics(service: str, *, otlp_endpoint: str | None = None) -> None:
    """Install the meters of the process. Call it once."""
    readers: list[MetricReader] = [PrometheusMetricReader(scope_info_enabled=False)]
    if otlp_endpoint:
        # Only who pushes pays for it at the start.
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter  # noqa: PLC0415

        exporter = OTLPMetricExporter(endpoint=f"{otlp_endpoint.rstrip('/')}/v1/metrics", timeout=PUSH_TIMEOUT_S)
        readers.append(PeriodicExportingMetricReader(exporter, PUSH_EVERY_S * 1000, PUSH_TIMEOUT_S * 1000))
    resource = Resource.create({"service.name": service})
    metrics.set_meter_provider(MeterProvider(readers, resource=resource, shutdown_on_exit=True))


def exposition() -> tuple[bytes, str]:
    """Return all metrics of the process in Prometheus' text format, and its content type."""
    return generate_latest(REGISTRY), CONTENT_TYPE_LATEST


class Level:
    """A gauge that tells, whenever it is read, the values last set.

    OpenTelemetry's own synchronous gauge forgets its value once it was read, so that a reader who comes twice between
    two values finds nothing.
    """

    def __init__(self, name: str, *, unit: str, description: str) -> None:
        self._observations: dict[str, Observation] = {}
        _meter.create_observable_gauge(name, [self._observe], unit=unit, description=description)

    def set(self, value: float, **attributes: str) -> None:
        """Replace the value that has these attributes; they are few, such as queues, and never come from outside."""
        self._observations[repr(attributes)] = Observation(value, attributes)

    def clear(self) -> None:
        """Tell nothing any more, until a value is set."""
        self._observations = {}

    def value(self, **attributes: str) -> float | None:
        """Return the value last set."""
        observation = self._observations.get(repr(attributes))
        return None if observation is None else observation.value

    def _observe(self, _options: CallbackOptions) -> Iterable[Observation]:
        return list(self._observations.values())
