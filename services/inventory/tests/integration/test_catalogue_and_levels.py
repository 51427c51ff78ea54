"""The catalogue, levels page by page, and corrections by hand."""

import pytest

pytestmark = pytest.mark.server


async def test_codes_are_unique_without_case_and_keep_it(merchant):
    answer = await merchant.call("POST", "/skus", json={"sku": " Tee-M ", "name": "Tee"})
    assert (answer.status_code, answer.json()["sku"]) == (201, "Tee-M")
    answer = await merchant.call("POST", "/skus", json={"sku": "TEE-m", "name": "Tee"})
    assert (answer.status_code, answer.json()["code"]) == (409, "sku_exists")
    items = [{"sku": "tee-M", "name": "x"}, {"sku": "NEW", "name": "x"}, {"sku": "new", "name": "x"}]
    answer = await merchant.call("POST", "/skus/bulk", json={"items": items})
    assert answer.json() == {"total": 3, "created": 1, "existing": 2}
    body = {"code": "BER", "name": "Berlin", "priority": 1, "country_code": "DE"}
    assert (await merchant.call("POST", "/warehouses", json=body)).status_code == 201
    answer = await merchant.call("POST", "/warehouses", json={"code": "ber", "name": "again"})
    assert (answer.status_code, answer.json()["code"]) == (409, "warehouse_exists")


async def test_lists_are_paged_without_gaps(merchant):
    await merchant.stock({(f"S{n}", code): n for n in range(5) for code in ("BER", "LYS")})

    async def walk(path, key, **params):
        seen, cursor = [], None
        while True:
            page = await merchant.get(path, limit=3, **params, **({"cursor": cursor} if cursor else {}))
            assert len(page["items"]) <= 3
            seen += [key(item) for item in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                return seen

    levels = await walk("/levels", lambda x: (x["sku"], x["warehouse_code"]))
    assert len(levels) == len(set(levels)) == 10
    assert await walk("/levels", lambda x: x["sku"], warehouse_code="lys") == ["S0", "S1", "S2", "S3", "S4"]
    assert sorted(await walk("/levels", lambda x: x["warehouse_code"], sku="s3")) == ["BER", "LYS"]
    assert await walk("/skus", lambda x: x["sku"]) == ["S4", "S3", "S2", "S1", "S0"]
    assert await walk("/warehouses", lambda x: x["code"]) == ["LYS", "BER"]
    answer = await merchant.call("GET", "/levels", params={"cursor": "bm90LW91cnM"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_cursor")


async def test_adjustment_says_exactly_why_it_is_refused(merchant):
    await merchant.stock({("X", "WH1"): 5})
    order = merchant.order({"X": 2})
    await merchant.publish([order])
    await merchant.until(order["order_id"], "reserved")
    answer = await merchant.adjust("x", "wh1", -5)
    assert (answer.status_code, answer.json()["code"]) == (409, "insufficient_stock")
    assert answer.json()["detail"] == "Insufficient stock for SKU X: 5 requested, 3 available in WH1."
    answer = await merchant.adjust("X", "WH1", -3)
    assert answer.json() == {
        "sku": "X",
        "warehouse_code": "WH1",
        "quantity_total": 2,
        "quantity_reserved": 2,
        "quantity_available": 0,
        "quantity_unavailable": 0,
        "quantity_damaged": 0,
        "quantity_quarantined": 0,
    }
    [row] = await merchant.sql(
        "SELECT * FROM stock_ledger WHERE organization_id = $1 AND kind = 'adjust'", merchant.organization_id
    )
    assert (row["actor"], row["reason"], row["total_before"], row["total_after"]) == (
        "tester@example.com",
        "counted",
        5,
        2,
    )
    assert len(row["trace_id"]) == 32


@pytest.mark.parametrize(
    ("sku", "warehouse", "delta", "status", "code"),
    [
        ("NOPE", "WH1", 1, 404, "unknown_sku"),
        ("X", "NOPE", 1, 404, "unknown_warehouse"),
        ("X", "WH1", 2_147_483_647, 422, "quantity_too_large"),
        ("X", "WH1", 0, 422, "validation_error"),
        ("X\x00", "WH1", 1, 422, "validation_error"),
    ],
)
async def test_adjustment_of_what_cannot_be_is_refused(merchant, sku, warehouse, delta, status, code):
    await merchant.stock({("X", "WH1"): 1})
    answer = await merchant.adjust(sku, warehouse, delta)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_adjustment_makes_the_level_of_a_sku_that_never_lay_there(merchant):
    await merchant.stock({("X", "WH1"): 1, ("Y", "WH2"): 1})
    assert (await merchant.adjust("X", "WH2", -1)).json()["code"] == "insufficient_stock"
    assert (await merchant.adjust("X", "WH2", 4)).status_code == 201
    assert (await merchant.levels(sku="X"))["X", "WH2"] == (4, 0, 4)


async def test_reservation_of_an_order_that_never_came_is_not_found(merchant):
    answer = await merchant.call("GET", f"/reservations/{merchant.organization_id}")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_reservation")


async def test_documents_declare_every_refusal(merchant):
    paths = (await merchant.inventory.http.get("/inventory/openapi.json")).json()["paths"]
    ours = [(path, how) for path, hows in paths.items() if "/ops/" not in path for how in hows.values()]
    assert [path for path, how in ours if not {"401", "403"} <= set(how["responses"])] == []
