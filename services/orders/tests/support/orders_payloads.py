"""Payloads in the channels' shapes, written for these tests."""

from typing import Any


def shopify_order(order_id: int = 5_551_001_000_001, **changes: Any) -> dict[str, Any]:
    return {
        "id": order_id,
        "admin_graphql_api_id": f"gid://shopify/Order/{order_id}",
        "name": "#1001",
        "order_number": 1001,
        "created_at": "2026-11-20T10:00:00+01:00",
        "processed_at": "2026-11-20T10:00:00+01:00",
        "updated_at": "2026-11-20T10:00:00+01:00",
        "cancelled_at": None,
        "cancel_reason": None,
        "currency": "EUR",
        "presentment_currency": "USD",
        "total_price": "33.30",
        "current_total_price": "33.30",
        "total_price_set": {
            "shop_money": {"amount": "33.30", "currency_code": "EUR"},
            "presentment_money": {"amount": "36.10", "currency_code": "USD"},
        },
        "financial_status": "paid",
        "fulfillment_status": None,
        "email": "lena@example.com",
        "note": "Bitte klingeln 🔔",
        "customer": {"id": 7_001, "first_name": "Lena", "last_name": "Öberg", "email": "lena@example.com"},
        "billing_address": None,
        "shipping_address": {
            "first_name": "Lena",
            "last_name": "Öberg",
            "name": "Lena Öberg",
            "company": None,
            "address1": "Kirchweg 7",
            "address2": "",
            "city": "Hamburg",
            "province": "Hamburg",
            "province_code": None,
            "zip": "20095",
            "country": "Germany",
            "country_code": "DE",
            "phone": "+49 40 1234",
        },
        "line_items": [shopify_line(11, "TEA", 2, "8.90"), shopify_line(12, "CUP", 1, "15.50")],
        "a_field_of_next_year": {"anything": [1, 2, 3]},
        **changes,
    }


def shopify_line(line_id: int, sku: str | None, quantity: int, price: str = "1.00", **changes: Any) -> dict[str, Any]:
    return {
        "id": line_id,
        "variant_id": line_id + 1_000,
        "product_id": line_id + 2_000,
        "sku": sku,
        "name": f"Product {sku}",
        "title": f"Product {sku}",
        "quantity": quantity,
        "current_quantity": quantity,
        "fulfillable_quantity": quantity,
        "requires_shipping": True,
        "gift_card": False,
        "price": price,
        **changes,
    }


def woo_order(order_id: int = 7001, **changes: Any) -> dict[str, Any]:
    place = {
        "first_name": "Ana",
        "last_name": "Sousa",
        "company": "",
        "address_1": "Rua Nova 3",
        "address_2": "",
        "city": "Porto",
        "state": "PT-13",
        "postcode": "4000-001",
        "country": "PT",
    }
    return {
        "id": order_id,
        "parent_id": 0,
        "number": str(order_id),
        "status": "processing",
        "currency": "EUR",
        "date_created": "2026-11-20T10:00:00",
        "date_created_gmt": "2026-11-20T09:00:00",
        "date_modified": "2026-11-20T10:00:00",
        "date_modified_gmt": "2026-11-20T09:00:00",
        "date_paid_gmt": "2026-11-20T09:00:00",
        "total": "29.35",
        "customer_note": "",
        "billing": {**place, "email": "ana@example.com", "phone": "+351 22 1234"},
        "shipping": {**place, "phone": ""},
        "line_items": [woo_line(31, "HAT", 2)],
        "refunds": [],
        "meta_data": [{"key": "_x", "value": None}],
        **changes,
    }


def woo_line(line_id: int, sku: str, quantity: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": line_id,
        "name": f"Product {sku}",
        "product_id": 93,
        "variation_id": 0,
        "quantity": quantity,
        "subtotal": "29.35",
        "total": "29.35",
        "sku": sku,
        "price": 14.675,
        **changes,
    }


def standard_message(kind: str = "order.created", order_id: str = "A-1", **changes: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "timestamp": "2026-11-20T09:00:01Z",
        "data": {
            "id": order_id,
            "number": "A-1",
            "currency": "EUR",
            "created_at": "2026-11-20T09:00:00Z",
            "updated_at": "2026-11-20T09:00:00Z",
            "cancelled_at": None,
            "payment_status": "paid",
            "customer": {"email": "ada@example.com", "name": "Ada Lind"},
            "shipping_address": {
                "name": "Ada Lind",
                "company": None,
                "line1": "Storgatan 1",
                "line2": None,
                "city": "Umeå",
                "region": None,
                "postal_code": "903 26",
                "country_code": "SE",
                "phone": None,
                "email": "ada@example.com",
            },
            "lines": [standard_line("1", "BOOK", 1)],
            "total": "19.00",
            "note": None,
            **changes,
        },
    }


def standard_line(line_id: str, sku: str | None, quantity: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": line_id,
        "sku": sku,
        "name": "Book",
        "quantity": quantity,
        "unit_price": "19.00",
        "requires_shipping": True,
        **changes,
    }
