"""1.1: POST /inventory/bulk takes CSV and JSON, checks every SKU, and says what failed."""

from rappit_demo.merchant import import_stock


async def test_csv_with_good_and_bad_rows_applies_the_good_ones_and_names_the_bad(scene):
    csv = "sku,quantity,warehouse_code\nSKU-0001,25,BER\nNOPE,1,BER\nSKU-0002,x,BER\n"
    summary = await import_stock(scene.merchant, csv)
    assert (summary["total"], summary["succeeded"], summary["failed"]) == (3, 1, 2)
    assert [(error["line"], error["field"]) for error in summary["errors"]] == [(3, "sku"), (4, "quantity")]
    assert (await scene.merchant.level("SKU-0001"))["available"] == 25


async def test_json_rows_update_available_and_total_together(scene):
    items = [{"sku": "SKU-0003", "quantity": 7, "warehouse_code": "LYO"}]
    summary = await scene.merchant.api.post("/inventory/bulk", {"items": items})
    assert summary["succeeded"] == 1
    assert await scene.merchant.level("SKU-0003") == {"total": 7, "reserved": 0, "available": 7}


async def test_one_merchants_skus_are_unknown_to_another(stack, operator, scene):
    from_other = "sku,quantity,warehouse_code\nOTHERS-SKU,1,BER\n"
    await scene.merchant.api.post("/inventory/skus", {"sku": "OTHERS-SKU", "name": "ours"})
    from rappit_demo.merchant import create_merchant, create_warehouses  # noqa: PLC0415 - only this journey needs a bare merchant

    other = await create_merchant(operator, stack.ingress_url, "Other")
    async with other.api:
        await create_warehouses(other)
        summary = await import_stock(other, from_other)
    assert summary["failed"] == 1
