"""What we write of a message's properties is what the client library would write, and fails where it would."""

from datetime import UTC, datetime

import pytest
from aiormq import spec
from hypothesis import given
from hypothesis import strategies as st
from pamqp.header import ContentHeader
from rappit_common.messaging.wire import PersistentProperties, PropertyTooLongError

VALUES = st.one_of(st.text(), st.booleans(), st.integers(-(2**31), 2**31 - 1), st.lists(st.text(), max_size=3))


def fields(**changes):
    given_fields = {
        "content_type": "application/json",
        "headers": {"rappit-attempt": 2, "traceparent": "00-a-b-01"},
        "message_id": "0198",
        "timestamp": datetime(2026, 11, 25, 4, 30, tzinfo=UTC),
        "message_type": "orders.order-placed.v1",
    }
    return {**given_fields, **changes}


def read(properties):
    found = ContentHeader()
    found.unmarshal(ContentHeader(body_size=5, properties=properties).marshal())
    return dict(found.properties)


def test_writes_byte_for_byte_what_the_library_writes():
    ours = PersistentProperties(**fields())
    library = spec.Basic.Properties(**fields(), delivery_mode=2)
    assert ours.marshal() == library.marshal()


@pytest.mark.parametrize("absent", ["content_type", "headers", "message_id", "timestamp", "message_type"])
def test_leaves_out_what_is_not_given(absent):
    ours = PersistentProperties(**fields(**{absent: None}))
    assert ours.marshal() == spec.Basic.Properties(**fields(**{absent: None}), delivery_mode=2).marshal()


@given(st.dictionaries(st.text(min_size=1, max_size=40), VALUES, max_size=6), st.text(min_size=1, max_size=60))
def test_any_headers_arrive_as_they_were(headers, message_id):
    arrived = read(PersistentProperties(**fields(headers=headers, message_id=message_id)))
    assert arrived["headers"] == headers
    assert arrived["message_id"] == message_id
    assert arrived["delivery_mode"] == 2


def test_refuses_a_name_that_no_frame_can_hold():
    with pytest.raises(PropertyTooLongError, match="at most 255"):
        PersistentProperties(**fields(headers={"n" * 256: "x"})).marshal()
