"""Any dialect of CSV gives the same rows, and what goes out for a spreadsheet comes back as it was meant."""

import codecs
import csv
import io
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rappit_inventory.domain.catalogue_file import catalogue_rows, columns_of, open_catalogue_file
from rappit_inventory.domain.stock_file import COLUMNS, StockRow, open_stock_file, stock_rows
from rappit_inventory.domain.table_file import RowError, UnreadableFileError, as_meant, defused

# What stands in a cell, as it is read: without spaces around, since those are dropped.
latin = st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_categories=["Cc"])
any_text = st.characters(min_codepoint=0x20, exclude_categories=["Cc", "Cs"])


def codes(alphabet):
    return st.text(alphabet, min_size=1, max_size=20).map(str.strip).filter(lambda x: x and as_meant(x) == x)


def written(rows, order, *, delimiter, line_end, quoting, note):
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator=line_end, quoting=quoting)
    writer.writerow([*order, "note"])
    for values in rows:
        named = dict(zip(COLUMNS, values, strict=True))
        writer.writerow([*(named[name] for name in order), note])
    return text.getvalue()


@given(
    rows=st.lists(st.tuples(codes(latin), st.integers(0, 2_147_483_647), codes(latin)), min_size=1, max_size=8),
    order=st.permutations(COLUMNS),
    delimiter=st.sampled_from([",", ";", "\t"]),
    line_end=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "latin-1"]),
    note=st.sampled_from(["", "plain", "two\nlines", 'a "quote"', ",;\t"]),
)
def test_every_dialect_gives_the_same_rows(rows, order, delimiter, line_end, quoting, encoding, note):
    text = written(rows, order, delimiter=delimiter, line_end=line_end, quoting=quoting, note=note)
    data = text.encode(encoding)
    file = open_stock_file(io.BytesIO(data))
    expected = [(sku, warehouse, quantity) for sku, quantity, warehouse in rows]
    read = [(row.sku, row.warehouse_code, row.quantity) for row in stock_rows(file) if isinstance(row, StockRow)]
    looks_like_utf8 = False
    try:
        data.decode()
        looks_like_utf8 = True
    except UnicodeDecodeError:
        assert any("Latin-1" in warning for warning in file.warnings)
    # Bytes that are both are UTF-8, since nothing in them says otherwise.
    if encoding != "latin-1" or data.isascii() or not looks_like_utf8:
        assert read == expected


@pytest.mark.parametrize("cell", ["12,", '"12\n",'])
def test_a_row_that_never_ends_is_refused_before_it_fills_the_memory(cell):
    data = f"sku,quantity,warehouse_code\nA,1,BER\nA,1,BER,{cell * 3_000_000}\n".encode()
    rows = stock_rows(open_stock_file(io.BytesIO(data)))
    assert next(rows) == StockRow(2, "A", "BER", 1)
    tracemalloc.start()
    with pytest.raises(UnreadableFileError, match="Line 3 cannot be read"):
        next(rows)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 60_000_000


def test_names_of_ignored_columns_are_shown_short_and_steer_no_terminal():
    header = ",".join(["sku", "quantity", "warehouse_code", "\x1b[31mred", "\x00", "y" * 50_000])
    [warning] = open_stock_file(io.BytesIO(f"{header}\nA,1,BER\n".encode())).warnings
    assert warning == f"Ignored columns: ?[31mred, ?, {'y' * 100}."


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused_and_never_break(data):
    content = b"sku,quantity,warehouse_code\n" + data
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return
    lines, refusal = [], "none"
    try:
        for row in stock_rows(open_stock_file(io.BytesIO(content))):
            lines.append(row.line)
            if isinstance(row, RowError):
                assert row.message
                assert "\n" not in row.value
    except UnreadableFileError as error:
        refusal = error.message
    assert refusal
    assert lines == sorted(set(lines))


@given(st.text(any_text, max_size=30).map(str.strip))
def test_what_is_defused_comes_back_as_it_was_meant(value):
    once = defused(value)
    if value[:1] in {"=", "@"}:
        assert once[0] == "'"
    # A cell that was defused by somebody else is taken for what it defuses.
    if once != value or as_meant(value) == value:
        assert as_meant(once) == value


@pytest.mark.parametrize("number", ["-1", "+5", "-1.5", "12"])
def test_numbers_stay_numbers(number):
    assert defused(number) == number


def test_rows_that_were_json_are_counted_and_blank_ones_too():
    file = open_stock_file(io.BytesIO(b'sku,quantity,warehouse_code\n,,\n"A\n",1,BER\n'), counts_rows=True)
    assert [row.line for row in stock_rows(file)] == [1, 2]


def test_columns_of_a_file_of_failed_rows_are_no_surprise():
    file = open_stock_file(io.BytesIO(b"sku,quantity,warehouse_code,error_line,Error Field,error_code\nA,1,B,2,x,y\n"))
    assert (file.warnings, len(list(stock_rows(file)))) == ([], 1)


def read_skus(data):
    file = open_catalogue_file(io.BytesIO(data.encode()))
    return [column.name for column in columns_of(file)], list(catalogue_rows(file))


def test_skus_may_come_alone_or_with_any_columns_in_any_order():
    assert read_skus("sku\nA\n") == ([], [(2, "A", ())])
    columns, [row] = read_skus("barcode;SKU;Name\n1;A;\n")
    assert (columns, row) == (["name", "barcode"], (2, "A", (None, "1")))


@pytest.mark.parametrize(
    ("row", "field", "code"),
    [
        (",x,", "sku", "missing_value"),
        (f"A,{'x' * 501},", "name", "too_long"),
        ('A,"x\ny",', "name", "invalid_characters"),
        ("A,x," + "1" * 51, "barcode", "too_long"),
    ],
)
def test_bad_row_of_skus_says_where_and_why(row, field, code):
    _, [error] = read_skus(f"sku,name,barcode\n{row}\n")
    assert (error.line, error.field, error.code) == (2, field, code)


@pytest.mark.parametrize(
    ("column", "value", "code"),
    [
        ("weight_g", "1.5", "not_a_whole_number"),
        ("weight_g", "-1", "not_a_whole_number"),
        ("weight_g", "10000001", "number_too_large"),
        ("height_mm", "1" * 5_000, "number_too_large"),
        ("hs_code", "61.09", "invalid_code"),
        ("country_of_origin", "pt", "invalid_code"),
    ],
)
def test_facts_of_a_sku_are_checked_as_the_api_checks_them(column, value, code):
    _, [error] = read_skus(f"sku,{column}\nA,{value}\n")
    assert (error.field, error.code) == (column, code)
