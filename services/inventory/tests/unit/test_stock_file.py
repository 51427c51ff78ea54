"""Files as merchants' systems write them."""

import io

import pytest
from rappit_inventory.domain.stock_file import StockRow, open_stock_file, stock_rows
from rappit_inventory.domain.table_file import MissingColumnError, RowError, UnreadableFileError


def read(data):
    file = open_stock_file(io.BytesIO(data if isinstance(data, bytes) else data.encode()))
    return list(stock_rows(file)), file.warnings


@pytest.mark.parametrize(
    "data",
    [
        "sku,quantity,warehouse_code\nA,1,BER\nB,2,LYS\n",
        "sku,quantity,warehouse_code\r\nA,1,BER\r\nB,2,LYS",
        "\ufeffwarehouse_code;sku;quantity\nBER;A;1\nLYS;B;2\n",
        "Quantity\tWarehouse Code\tSKU\n1\tBER\tA\n2\tLYS\tB\n",
        '"sku","quantity","warehouse_code"\n" A ","1","BER"\n"B","+2",LYS\n\n\n',
    ],
)
def test_reads_every_common_spelling(data):
    rows, warnings = read(data)
    assert [(row.sku, row.quantity, row.warehouse_code) for row in rows] == [("A", 1, "BER"), ("B", 2, "LYS")]
    assert warnings == []


def test_column_named_twice_is_refused_since_either_could_be_meant():
    with pytest.raises(UnreadableFileError, match="names the column quantity twice"):
        read("sku,quantity,Quantity,warehouse_code\nA,1,2,BER\n")


def test_extra_columns_are_ignored_with_a_warning_and_quoted_newlines_keep_line_numbers():
    rows, warnings = read('name,sku,quantity,warehouse_code\n"two\nlines",A,1,BER\n\nx,B,bad,BER\n')
    assert rows[0] == StockRow(2, "A", "BER", 1)
    assert (rows[1].line, rows[1].code) == (5, "not_a_whole_number")
    assert warnings == ["Ignored columns: name."]


def test_latin_1_is_read_with_a_warning():
    rows, warnings = read("sku,quantity,warehouse_code\nTÉÉ,1,BER\n".encode("latin-1"))
    assert rows == [StockRow(2, "TÉÉ", "BER", 1)]
    assert "Latin-1" in warnings[0]


@pytest.mark.parametrize(
    ("row", "field", "code"),
    [
        (",1,BER", "sku", "missing_value"),
        ("A,,BER", "quantity", "missing_value"),
        ("A,1, ", "warehouse_code", "missing_value"),
        ("A,1.5,BER", "quantity", "not_a_whole_number"),
        ("A,1e3,BER", "quantity", "not_a_whole_number"),
        ("A,٣,BER", "quantity", "not_a_whole_number"),
        ("A,-1,BER", "quantity", "negative_quantity"),
        ("A,2147483648,BER", "quantity", "quantity_too_large"),
        ("A,99999999999999999999999,BER", "quantity", "not_a_whole_number"),
        ("A\x00,1,BER", "sku", "invalid_characters"),
        (f"{'x' * 201},1,BER", "sku", "too_long"),
        ("A,1", "row", "missing_columns"),
    ],
)
def test_bad_row_says_where_and_why(row, field, code):
    [error], _ = read(f"sku,quantity,warehouse_code\n{row}\n")
    assert isinstance(error, RowError)
    assert (error.line, error.field, error.code) == (2, field, code)
    assert "\x00" not in error.value


def test_largest_quantity_is_accepted():
    assert read("sku,quantity,warehouse_code\nA,2147483647,BER\n")[0] == [StockRow(2, "A", "BER", 2_147_483_647)]


@pytest.mark.parametrize("data", ["", "\n\n", "sku,quantity,warehouse_code\n".encode("utf-16")])
def test_file_that_cannot_be_read_is_refused_whole(data):
    with pytest.raises(UnreadableFileError):
        read(data)


def test_missing_column_is_named():
    with pytest.raises(MissingColumnError, match="lacks quantity, warehouse_code") as refused:
        read("sku;amount\nA;1\n")
    assert refused.value.fields["missing"] == ["quantity", "warehouse_code"]


def test_open_quote_is_an_error_and_not_a_giant_row():
    with pytest.raises(UnreadableFileError, match="is a quote open"):
        read('sku,quantity,warehouse_code\n"A,1,BER\n' + "B,1,BER\n" * 20_000)
