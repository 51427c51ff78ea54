"""What every channel's adapter must do, whatever the channel."""

import contextlib
import copy
import json
from datetime import timedelta
from decimal import Decimal

import pytest
from channel_cases import CASES, PLACED_AT, RECEIVED_AT, Wanted, delivery
from hypothesis import given, settings
from hypothesis import strategies as st
from rappit_common.errors import InvalidError
from rappit_orders.domain.channels import ADAPTERS, UnknownProviderError, read_delivery
from rappit_orders.domain.channels.fields import InvalidDeliveryError, UnreadableBodyError
from rappit_orders.domain.commands import Ignored, ReceiveOrder
from rappit_orders.domain.values import Demand, demand_of

ID = "9007199254740993"  # more than a double can count to
TWO = [Wanted(1, "TEA", 2), Wanted(2, "CUP", 1)]

each_channel = pytest.mark.parametrize("case", CASES, ids=lambda case: case.provider)


def read(case, topic, body, **more):
    return read_delivery(case.provider, delivery(case, topic, body, **more))


def test_every_adapter_has_a_case():
    assert {case.provider for case in CASES} == set(ADAPTERS)


def test_a_provider_without_an_adapter_is_refused():
    with pytest.raises(UnknownProviderError, match="etsy"):
        read_delivery("etsy", delivery(CASES[0], "x", b"{}"))


@each_channel
def test_a_new_order_is_read_whole(case):
    command = read(case, case.created, case.body(TWO))
    assert isinstance(command, ReceiveOrder)
    assert (command.external_order_id, command.cancelled) == (ID, False)
    assert (command.stamp.changed_at, command.stamp.received_at) == (PLACED_AT, RECEIVED_AT)
    content = command.content
    assert (content.currency, content.placed_at) == ("EUR", PLACED_AT)
    assert content.customer.name
    assert content.customer.email
    assert content.shipping_address is not None
    assert content.shipping_address.city
    assert [(x.external_line_id, x.sku, x.quantity, x.unit_price) for x in content.lines] == [
        ("1", "TEA", 2, Decimal("2.50")),
        ("2", "CUP", 1, Decimal("2.50")),
    ]


@each_channel
def test_the_same_delivery_gives_the_same_command(case):
    assert read(case, case.created, case.body(TWO)) == read(case, case.created, case.body(TWO))


@each_channel
def test_a_later_change_is_newer_and_so_is_a_later_kind_of_the_same_moment(case):
    created = read(case, case.created, case.body(TWO))
    same_moment = read(case, case.updated, case.body(TWO))
    later = read(case, case.created, case.body(TWO, PLACED_AT + timedelta(seconds=1)))
    assert created.stamp < same_moment.stamp < later.stamp
    assert created.stamp < read(case, case.created, case.body(TWO), received_after_s=1).stamp


@each_channel
def test_a_cancellation_is_a_cancelled_order(case):
    command = read(case, case.cancelled, case.body(TWO, cancelled=True))
    assert isinstance(command, ReceiveOrder)
    assert command.cancelled


@each_channel
def test_the_same_sku_on_two_lines_is_one_demand(case):
    command = read(case, case.created, case.body([*TWO, Wanted(3, "TEA", 4)]))
    assert demand_of(command.content.lines) == (Demand("CUP", 1), Demand("TEA", 6))


@each_channel
@pytest.mark.parametrize("sku", [None, "", "  "])
def test_a_line_without_sku_is_kept(case, sku):
    command = read(case, case.created, case.body([Wanted(1, sku, 2)]))
    assert command.content.lines_without_sku == command.content.lines
    assert command.content.lines[0].name


@each_channel
def test_a_digital_line_takes_no_stock(case):
    body = case.body([Wanted(1, "EBOOK", 1), Wanted(2, None, 1)])
    for line in case.order_of(body)[case.lines_field]:
        line["requires_shipping"] = False
    command = read(case, case.created, body)
    assert demand_of(command.content.lines) == ()
    assert command.content.lines_without_sku == ()


@each_channel
def test_an_order_without_an_address_is_an_order(case):
    assert read(case, case.created, case.without_address(case.body(TWO))).content.shipping_address is None


@each_channel
def test_unknown_fields_are_ignored(case):
    body = case.body(TWO)
    expected = read(case, case.created, body)
    case.order_of(body)["tomorrow"] = {"deep": [1, None]}
    case.order_of(body)[case.lines_field][0]["tomorrow"] = 1.5
    assert read(case, case.created, body) == expected


@each_channel
def test_any_field_of_customer_and_address_may_be_null(case):
    body = case.body(TWO)
    order = case.order_of(body)
    for part in ("customer", "shipping_address", "billing", "shipping"):
        if part in order:
            order[part] = dict.fromkeys(order[part])
    command = read(case, case.created, body)
    assert (command.content.customer.name, command.content.shipping_address) == (None, None)


@each_channel
def test_a_topic_of_something_else_is_ignored_with_a_reason(case):
    command = read(case, case.unknown, {"data": {}})
    assert isinstance(command, Ignored)
    assert case.unknown in command.reason


@each_channel
@pytest.mark.parametrize(
    ("value", "said"),
    [
        (-1, "less than nothing"),
        ("two", "where a whole number"),
        (1.5, "where a whole number"),
        (True, "whole number"),
        (10**9, "more than"),
        ({}, "whole number"),
    ],
)
def test_nonsense_for_a_quantity_is_refused_with_the_fields_name(case, value, said):
    body = case.body(TWO)
    case.order_of(body)[case.lines_field][1][case.quantity_field] = value
    with pytest.raises(InvalidDeliveryError, match=said) as refused:
        read(case, case.created, body)
    assert str(refused.value.fields["field"]).endswith(f"{case.lines_field}[1].{case.quantity_field}")


@each_channel
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", None),
        ("id", {}),
        ("id", True),
        ("id", "x" * 300),
        ("id", "a\0b"),
        ("currency", None),
        ("currency", "€"),
        ("LINES", None),
        ("LINES", {}),
        ("LINES", ["no object"]),
        ("LINES", [{}] * 5_001),
    ],
)
def test_what_no_order_can_do_without_is_refused_with_the_fields_name(case, field, value):
    field = case.lines_field if field == "LINES" else field
    body = case.body(TWO)
    case.order_of(body)[field] = value
    with pytest.raises(InvalidDeliveryError) as refused:
        read(case, case.created, body)
    assert field in str(refused.value.fields["field"])
    assert field in refused.value.message


@each_channel
def test_two_lines_of_one_id_are_refused(case):
    with pytest.raises(InvalidDeliveryError, match="two lines of one id"):
        read(case, case.created, case.body([Wanted(1, "TEA", 1), Wanted(1, "CUP", 1)]))


@each_channel
def test_more_units_than_can_be_counted_are_refused(case):
    lines = [Wanted(n, "TEA", 1_000_000) for n in range(2_148)]
    with pytest.raises(InvalidDeliveryError, match="SKU TEA"):
        read(case, case.created, case.body(lines))


@each_channel
@pytest.mark.parametrize(
    ("number", "said"),
    [("1e999999999", "more than"), ("-1e999999999", "less than nothing"), ("1e-999999999", "where a whole number")],
)
def test_a_quantity_of_many_digits_is_refused_before_it_is_written_out(case, number, said):
    body = case.body(TWO)
    case.order_of(body)[case.lines_field][1][case.quantity_field] = "BOMB"
    raw = json.dumps(body).replace('"BOMB"', number).encode()
    with pytest.raises(InvalidDeliveryError, match=said):
        read(case, case.created, raw)


@each_channel
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe\xfa",
        b"[1,",
        b'{"id": NaN}',
        b"[" * 100_000,
        b'{"id": ' + b"9" * 5_000 + b"}",
        b'{"id": 1e99999999999999999999}',
    ],
)
def test_what_is_not_json_is_unreadable(case, body):
    with pytest.raises(UnreadableBodyError):
        read(case, case.created, body)


@each_channel
@pytest.mark.parametrize("body", [b"[]", b"null", b'"text"', b"12"])
def test_json_that_is_no_object_is_refused(case, body):
    with pytest.raises(InvalidDeliveryError):
        read(case, case.created, body)


@each_channel
def test_text_that_the_database_cannot_store_is_mended_and_emoji_are_kept(case):
    body = case.body(TWO)
    case.order_of(body)[case.lines_field][0]["name"] = "Tea \ud83c\udf75 a\x00b \ud800"
    assert read(case, case.created, body).content.lines[0].name == "Tea 🍵 a\ufffdb \ufffd"


@each_channel
def test_long_descriptions_are_cut_and_lose_no_order(case):
    body = case.body(TWO)
    case.order_of(body)[case.lines_field][0]["name"] = "x" * 10_000
    assert read(case, case.created, body).content.lines[0].name == "x" * 500


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["12.5", "NaN"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@each_channel
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_whatever_stands_in_a_field_is_read_or_refused_and_never_crashes(case, data):
    body = copy.deepcopy(case.body(TWO))
    order = case.order_of(body)
    place = data.draw(
        st.sampled_from([order, *order[case.lines_field], *(v for v in order.values() if isinstance(v, dict))])
    )
    place[data.draw(st.sampled_from(sorted(place)))] = data.draw(JSON)
    # Any other error than a refusal would be tried again in vain, as if it were ours.
    with contextlib.suppress(InvalidError):
        assert isinstance(read(case, case.created, body), ReceiveOrder | Ignored)
