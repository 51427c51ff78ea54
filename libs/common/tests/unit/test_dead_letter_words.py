"""What makes dead letters alike, what they are found by, and how they are shown."""

import json
from uuid import UUID

import pytest
from pydantic import BaseModel, ValidationError
from rappit_common.clock import new_id
from rappit_common.errors import InvalidError
from rappit_common.messaging.dead_letters.edits import check_edited_body
from rappit_common.messaging.dead_letters.filters import LetterFilter, Selection
from rappit_common.messaging.dead_letters.refusals import EditedBodyInvalidError
from rappit_common.messaging.dead_letters.shapes import group_key, message_shape, searchable_text
from rappit_common.messaging.topology import Subscription
from rappit_common.web.ops.links import order_link, webhook_link
from rappit_common.web.ops.listing import defused
from rappit_common.web.ops.pretty import pretty_json, unified_diff


@pytest.mark.parametrize(
    ("message", "shape"),
    [
        ("There is no order 0193e0a4-7c5e-7bb0-8000-000000000001 here.", "There is no order <id> here."),
        ("SKU 'TEA-1' is short by 12.", "SKU <value> is short by <number>."),
        ('No adapter reads "etsy".', "No adapter reads <value>."),
        ("lines[3].quantity is less than nothing.", "lines[<number>].quantity is less than nothing."),
        ("digest 9f86d081884c7d65 differs from 0xdeadbeef", "digest <hex> differs from <hex>"),
        ("order gid1234x", "order <id>"),
        ("can't read what isn't there", "can't read what isn't there"),
        ("at 12:30:05 it cost -3.50", "at <number> it cost <number>"),
        ("many\n  lines", "many lines"),
        ("defaced beaded", "defaced beaded"),
        ("", ""),
    ],
)
def test_a_shape_is_the_message_without_what_differs(message, shape):
    assert message_shape(message) == shape


def test_a_shape_is_bounded_and_quick_whatever_the_message():
    assert len(message_shape("a-" * 100_000)) <= 300
    assert len(message_shape('"' * 100_001)) <= 300


def test_a_group_is_a_queue_an_error_and_a_shape():
    keys = {group_key("q", "e", "s"), group_key("q2", "e", "s"), group_key("q", "e2", "s"), group_key("q", "e", "s2")}
    assert len(keys) == 4
    assert group_key("q", "e", "s") == group_key("q", "e", "s")
    assert group_key("a", "bc", "") != group_key("ab", "c", "")


def test_words_are_found_however_the_channel_wrote_them():
    assert "Öberg" in searchable_text("", b'{"name": "\\u00d6berg"}')
    assert "https://shop" in searchable_text("", b'{"url": "https:\\/\\/shop"}')
    assert "cut off" in searchable_text("", b'{"note": "cut off')


@pytest.mark.parametrize("body", [b"\xff\xfe\x00", b"\x89PNG\xff" * 20_000])
def test_a_body_that_is_no_text_has_no_words(body):
    assert searchable_text("why", body) == "why\n"


def test_of_a_large_body_the_first_64_kib_are_searched_whole_characters_only():
    text = searchable_text("", ("x" + "é" * 200_000).encode())
    assert 32_000 < len(text) <= 64 * 1024
    assert "\ufffd" not in text


def test_words_hold_nothing_that_a_table_cannot():
    assert "\x00" not in searchable_text("", b'{"a": "\\u0000"}')
    searchable_text("", b'{"a": "\\ud800"}').encode()


def test_a_selection_is_by_ids_or_by_a_filter_that_says_something():
    Selection(ids=[new_id()])
    Selection(filter=LetterFilter(queue=["q"]))
    for wrong in (
        {},
        {"ids": []},
        {"filter": {}},
        {"filter": {"queue": []}},
        {"ids": [new_id()], "filter": {"text": "x"}},
    ):
        with pytest.raises(ValidationError):
            Selection.model_validate(wrong)


def test_a_filter_is_bounded():
    with pytest.raises(ValidationError):
        LetterFilter(queue=["q"] * 21)
    with pytest.raises(ValidationError):
        LetterFilter.model_validate({"quque": ["q"]})
    with pytest.raises(ValidationError):
        LetterFilter.model_validate({"failed_since": "2026-11-25T00:00:00"})


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "\uff1d1", "\n=1"])
def test_a_cell_that_a_spreadsheet_would_execute_is_defused(cell):
    assert defused(cell) == f"'{cell}"


def test_other_cells_stay_as_they_are():
    assert [defused(x) for x in ("a=b", 12, None, "")] == ["a=b", "12", "", ""]


def test_pretty_json_keeps_each_number_and_the_order_of_names():
    body = b'{"price":10.10,"id":12345678901234567890123,"b":[],"a":{"x":[1,{"y":1e400}]},"e":{}}'
    pretty = pretty_json(body)
    assert pretty is not None
    assert "".join(pretty.split()) == body.decode()
    assert pretty.splitlines()[1] == '  "price": 10.10,'
    assert pretty.splitlines()[3] == '  "b": [],'


def test_pretty_json_shows_plain_letters_and_sends_what_utf_8_can():
    assert pretty_json(b'{"n": "\\u00d6l {[,:]} \\"q\\""}') == '{\n  "n": "Öl {[,:]} \\"q\\""\n}'
    half = pretty_json(b'["\\ud800"]')
    assert half is not None
    assert json.loads(half.encode()) == ["\ud800"]


@pytest.mark.parametrize("body", [b"{", b"\xff", b"", b"[" * 100_000, b"1" * 10_000, b" " * (1024 * 1024) + b"1"])
def test_what_is_no_json_or_too_large_is_not_pretty(body):
    assert pretty_json(body) is None


def test_a_diff_tells_what_an_edit_changes():
    diff = unified_diff(b'{"a":1,"b":2}', b'{ "a": 1, "b": 3 }')
    assert [line for line in diff if line[0] in "+-"][2:] == ['-  "b": 2', '+  "b": 3']
    assert unified_diff(b'{"a":1}', b'{ "a" : 1 }') == []


def test_a_diff_is_bounded():
    long = json.dumps(list(range(6_000))).encode()
    assert unified_diff(long, b"[]") == ["too long to compare: 6002 lines before, 1 lines after"]


def test_an_order_is_linked_by_our_id_or_by_its_channels():
    order_id, channel_id = new_id(), new_id()
    webhook = {"rappit-channel-id": str(channel_id)}
    ours = f"/orders?channel_id={channel_id}&external_order_id="
    assert order_link({}, json.dumps({"order_id": str(order_id)}).encode()) == f"/orders/{order_id}"
    assert order_link(webhook, b'{"id": 1001}') == ours + "1001"
    assert order_link(webhook, b'{"id": 5, "order_id": 1001}') == ours + "1001"
    assert order_link(webhook, b'{"id": "evt", "type": "order.created", "data": {"id": "S 1"}}') == ours + "S+1"
    for body in (b"{cut", b"[]", b'{"order_id": "x"}', b'{"order_id": true}', b"\xff"):
        assert order_link({}, body) is None
    assert order_link(webhook, b'{"id": null}') is None
    assert webhook_link(webhook, "m/1") == "/channels/deliveries/m%2F1"
    assert webhook_link({}, "m") is None


class Wanted(BaseModel):
    organization_id: UUID
    quantity: int


def test_an_edit_is_refused_by_the_names_of_its_fields():
    queue = Subscription("q.do", (), Wanted)
    check_edited_body(queue, {}, json.dumps({"organization_id": str(new_id()), "quantity": 1}).encode())
    with pytest.raises(EditedBodyInvalidError) as told:
        check_edited_body(queue, {}, b'{"organization_id": "x", "quantity": "many"}')
    assert [problem["field"] for problem in told.value.fields["errors"]] == ["organization_id", "quantity"]
    with pytest.raises(EditedBodyInvalidError, match="Invalid JSON"):
        check_edited_body(queue, {}, b"{cut")


def test_a_reader_of_ones_own_refuses_in_its_own_words():
    def read(headers, body):
        raise InvalidError(f"lines[0].{headers['k']} is missing.", field="lines[0].sku")

    with pytest.raises(
        EditedBodyInvalidError, match=r"q\.do would refuse this body: lines\[0\]\.sku is missing"
    ) as told:
        check_edited_body(Subscription("q.do", (), read), {"k": "sku"}, b"")
    assert told.value.fields["errors"] == [{"field": "lines[0].sku", "message": "lines[0].sku is missing."}]


def test_a_schema_is_there_where_json_is_read():
    schema = Subscription("q.do", (), Wanted).schema
    assert schema is not None
    assert set(schema["properties"]) == {"organization_id", "quantity"}
    assert Subscription("q.do", ()).schema is None
    assert Subscription("q.do", (), lambda _headers, body: body).schema is None


def test_a_small_body_that_would_be_huge_when_indented_is_shown_as_it_came():
    # A mebibyte at most, and a gigabyte of indentation.
    body = b"[" * 900 + b"1," * 500_000 + b"1" + b"]" * 900
    assert pretty_json(body) is None
    assert pretty_json(b"[" * 900 + b"1" + b"]" * 900) is not None


def test_a_cell_never_steers_the_terminal_it_is_printed_on():
    assert defused("No.\x1b[2J\x9b31m\u202e\nline\ttab") == "No.\ufffd[2J\ufffd31m\ufffd\nline\ttab"
