"""One trace id follows a webhook through every service, by W3C trace context in HTTP and message headers."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_propagator = TraceContextTextMapPropagator()
# Asked for once: making it anew was a tenth of a message's cost. Until a tracer is configured it makes no spans.
_tracer = trace.get_tracer("rappit")
_is_exporting = False
_is_configured = False
_sampler = TraceIdRatioBased(1.0)
_ids = RandomIdGenerator()
TRACEPARENT = "traceparent"


def configure_tracing(service: str, *, sample_ratio: float = 1.0, otlp_endpoint: str | None = None) -> None:
    """Install the tracer of the process. Spans leave only when an OTLP endpoint is named; trace ids flow always."""
    global _is_exporting, _is_configured, _sampler  # noqa: PLW0603 - one for the process, as the tracer's provider is
    _sampler = TraceIdRatioBased(sample_ratio)
    provider = TracerProvider(resource=Resource.create({"service.name": service}), sampler=ParentBased(_sampler))
    _is_exporting, _is_configured = bool(otlp_endpoint), True
    if otlp_endpoint:
        exporter = OTLPSpanExporter(endpoint=f"{otlp_endpoint.rstrip('/')}/v1/traces", timeout=5)
        provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)


def current_traceparent() -> str | None:
    """Return the W3C ``traceparent`` of the current span, to be stored or sent beside a message."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier.get(TRACEPARENT)


def current_trace_id() -> str | None:
    """Return the current trace id as 32 hexadecimal digits."""
    context = trace.get_current_span().get_span_context()
    return format(context.trace_id, "032x") if context.is_valid else None


@contextmanager
def continued_span(name: str, headers: Mapping[str, str], kind: SpanKind = SpanKind.CONSUMER) -> Generator[Span]:
    """Run a block inside a span that continues the trace found in ``headers``, or starts a new one.

    Args:
        name: Static name of the operation.
        headers: A carrier with lower-case names; only ``traceparent`` and ``tracestate`` are read.
        kind: Whether this side serves a request or consumes a message.
    """
    # From an empty context: a request or a message without a trace begins one, whatever this task inherited.
    parent = _propagator.extract(dict(headers), otel_context.Context())
    span = _begin(name, parent, kind)
    token = otel_context.attach(trace.set_span_in_context(span, parent))
    try:
        yield span
    except Exception as error:
        span.record_exception(error)
        raise
    finally:
        otel_context.detach(token)
        span.end()


def _begin(name: str, parent: Context, kind: SpanKind) -> Span:
    if _is_exporting or not _is_configured:
        return _tracer.start_span(name, context=parent, kind=kind)
    # Recorded for nobody: only its ids matter, at a tenth of a span's cost. The sampling is the parent's, or as ever.
    above = trace.get_current_span(parent).get_span_context()
    if above.is_valid:
        trace_id, flags, state = above.trace_id, above.trace_flags, above.trace_state
    else:
        trace_id, state = _ids.generate_trace_id(), None
        is_sampled = _sampler.should_sample(parent, trace_id, name).decision.is_sampled()
        flags = TraceFlags(TraceFlags.SAMPLED if is_sampled else TraceFlags.DEFAULT)
    return NonRecordingSpan(SpanContext(trace_id, _ids.generate_span_id(), False, flags, state))  # noqa: FBT003 - is_remote
