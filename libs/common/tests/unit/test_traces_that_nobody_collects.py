"""Without a collector a trace is only its ids: begun and continued as ever, and recorded for nobody."""

import pytest
from rappit_common.tracing import configure_tracing, continued_span, current_trace_id, current_traceparent


@pytest.fixture
def sampled(request):
    configure_tracing("tests", sample_ratio=request.param)
    yield request.param == 1.0
    configure_tracing("tests")


@pytest.mark.parametrize("sampled", [0.0, 1.0], indirect=True)
def test_trace_begins_with_the_sampling_that_others_will_go_by(sampled):
    with continued_span("first", {}) as span:
        assert not span.is_recording()
        first, parent = current_trace_id(), current_traceparent()
    assert first is not None
    assert parent.split("-")[1] == first
    assert parent.endswith("-01" if sampled else "-00")
    with continued_span("next", {"traceparent": parent}) as span:
        assert current_trace_id() == first
        assert span.get_span_context().trace_flags.sampled == sampled
    with continued_span("another", {}):
        assert current_trace_id() != first


def test_error_passes_through():
    with pytest.raises(ValueError, match="no"), continued_span("first", {}):
        raise ValueError("no")
