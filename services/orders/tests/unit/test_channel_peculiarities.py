"""What only one channel does."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from channel_cases import CASES, RECEIVED_AT, delivery
from orders_payloads import shopify_line, shopify_order, standard_message, woo_line, woo_order
from rappit_orders.domain.channels import read_delivery
from rappit_orders.domain.channels.fields import InvalidDeliveryError
from rappit_orders.domain.commands import Ignored, ReceiveOrder, RemoveOrder
from rappit_orders.domain.values import Demand, PaymentState, demand_of

SHOPIFY, WOO, STANDARD, _GENERIC = CASES


def read(case, topic, body):
    return read_delivery(case.provider, delivery(case, topic, body))


class TestShopify:
    def test_current_quantity_decides_over_quantity(self):
        lines = [
            shopify_line(1, "TEA", 2, current_quantity=5),
            shopify_line(2, "CUP", 1, current_quantity=0),
            shopify_line(3, "PEN", 3, current_quantity=None),
        ]
        content = read(SHOPIFY, "orders/updated", shopify_order(line_items=lines)).content
        assert demand_of(content.lines) == (Demand("PEN", 3), Demand("TEA", 5))
        assert [line.quantity for line in content.lines] == [5, 0, 3]

    def test_an_old_api_without_the_newer_fields_is_read(self):
        body = shopify_order(line_items=[{"id": 1, "sku": "TEA", "quantity": 2, "price": "8.90", "title": "Tea"}])
        for newer in ("current_total_price", "total_price_set", "presentment_currency", "admin_graphql_api_id"):
            del body[newer]
        content = read(SHOPIFY, "orders/create", body).content
        assert (content.total, content.lines[0].name) == (Decimal("33.30"), "Tea")
        assert demand_of(content.lines) == (Demand("TEA", 2),)

    def test_a_gift_card_takes_no_stock_though_it_says_it_ships(self):
        lines = [shopify_line(1, None, 1, gift_card=True)]
        content = read(SHOPIFY, "orders/create", shopify_order(line_items=lines)).content
        assert (content.lines_without_sku, demand_of(content.lines)) == ((), ())

    def test_money_is_the_shops_and_after_edits_to_the_cent(self):
        content = read(SHOPIFY, "orders/updated", shopify_order(current_total_price="0.10")).content
        assert (content.currency, content.total) == ("EUR", Decimal("0.10"))

    @pytest.mark.parametrize("told", ["0E+99999999", "1E+3"])
    def test_an_amount_is_written_out_so_that_any_database_takes_it(self, told):
        content = read(SHOPIFY, "orders/create", shopify_order(current_total_price=told)).content
        assert (content.total, content.total.as_tuple().exponent) == (Decimal(told), 0)

    @pytest.mark.parametrize("state", list(PaymentState))
    def test_every_financial_status_is_a_payment_state(self, state):
        body = shopify_order(financial_status=state.value)
        assert read(SHOPIFY, "orders/paid", body).content.payment_state is state

    @pytest.mark.parametrize("told", [None, "expired", "a word of next year"])
    def test_a_financial_status_we_do_not_know_counts_as_not_paid(self, told):
        content = read(SHOPIFY, "orders/create", shopify_order(financial_status=told)).content
        assert content.payment_state is PaymentState.PENDING

    @pytest.mark.parametrize("topic", ["orders/edited", "refunds/create", "app/uninstalled", ""])
    def test_other_topics_are_ignored_whatever_they_carry(self, topic):
        assert isinstance(read(SHOPIFY, topic, {"order_edit": {"order_id": 1}}), Ignored)

    def test_a_country_that_is_missing_is_an_unknown_one(self):
        body = shopify_order()
        body["shipping_address"]["country_code"] = None
        assert read(SHOPIFY, "orders/create", body).content.shipping_address.country_code == "ZZ"

    def test_time_zones_do_not_change_the_moment(self):
        body = shopify_order(updated_at="2026-11-20T01:00:00-08:00")
        assert read(SHOPIFY, "orders/updated", body).stamp.changed_at == datetime(2026, 11, 20, 9, tzinfo=UTC)

    def test_a_time_that_is_none_is_refused(self):
        with pytest.raises(InvalidDeliveryError, match="updated_at"):
            read(SHOPIFY, "orders/updated", shopify_order(updated_at="yesterday"))


class TestWooCommerce:
    @pytest.mark.parametrize(
        ("status", "paid", "cancelled", "payment"),
        [
            ("pending", False, False, PaymentState.PENDING),
            ("on-hold", False, False, PaymentState.PENDING),
            ("processing", True, False, PaymentState.PAID),
            ("processing", False, False, PaymentState.PENDING),
            ("completed", True, False, PaymentState.PAID),
            ("cancelled", True, True, PaymentState.PAID),
            ("cancelled", False, True, PaymentState.VOIDED),
            ("refunded", True, True, PaymentState.REFUNDED),
            ("failed", False, True, PaymentState.VOIDED),
            ("trash", False, True, PaymentState.VOIDED),
            ("a-plugins-own", True, False, PaymentState.PAID),
        ],
    )
    def test_a_status_says_whether_it_is_wanted_and_paid(self, status, paid, cancelled, payment):
        body = woo_order(status=status, date_paid_gmt="2026-11-20T09:00:00" if paid else None)
        command = read(WOO, "order.updated", body)
        assert (command.cancelled, command.content.payment_state) == (cancelled, payment)

    def test_a_partial_refund_is_seen(self):
        body = woo_order(refunds=[{"id": 1, "reason": "", "total": "-5.00"}])
        assert read(WOO, "order.updated", body).content.payment_state is PaymentState.PARTIALLY_REFUNDED

    @pytest.mark.parametrize("status", ["checkout-draft", "auto-draft"])
    def test_a_draft_is_no_order_yet(self, status):
        assert isinstance(read(WOO, "order.created", woo_order(status=status)), Ignored)

    def test_a_removal_carries_the_id_alone(self):
        command = read(WOO, "order.deleted", {"id": 7001})
        assert isinstance(command, RemoveOrder)
        assert (command.external_order_id, command.stamp.changed_at) == ("7001", RECEIVED_AT)

    def test_a_restored_order_is_newer_than_its_removal_though_its_content_is_old(self):
        removal = read(WOO, "order.deleted", {"id": 7001})
        later = delivery(WOO, "order.restored", woo_order(), received_after_s=1)
        restored = read_delivery("woocommerce", later)
        assert isinstance(restored, ReceiveOrder)
        assert restored.stamp < removal.stamp < restored.cancellation_stamp

    def test_the_phone_of_the_bill_serves_the_parcel(self):
        content = read(WOO, "order.created", woo_order()).content
        assert content.shipping_address.phone == "+351 22 1234"
        assert content.shipping_address.email == "ana@example.com"

    def test_a_store_writes_a_price_as_a_number_and_it_is_exact(self):
        content = read(
            WOO, "order.created", woo_order(line_items=[woo_line(1, "HAT", 3, price=6.666666666666667)])
        ).content
        assert content.lines[0].unit_price == Decimal("6.666667")

    def test_the_stores_local_time_is_not_taken_for_utc(self):
        command = read(WOO, "order.created", woo_order(date_modified="2026-11-21T23:00:00"))
        assert command.stamp.changed_at == datetime(2026, 11, 20, 9, tzinfo=UTC)

    def test_without_its_time_of_change_the_gateways_counts(self):
        command = read(WOO, "order.created", woo_order(date_modified_gmt=None))
        assert command.stamp.changed_at == RECEIVED_AT


class TestStandardWebhooks:
    def test_a_cancelled_at_is_enough_to_be_cancelled(self):
        at = (RECEIVED_AT - timedelta(seconds=1)).isoformat()
        assert read(STANDARD, "order.updated", standard_message(cancelled_at=at)).cancelled

    def test_a_payment_status_of_no_schema_is_refused_with_those_there_are(self):
        with pytest.raises(InvalidDeliveryError, match=r"data\.payment_status is none of pending, authorized"):
            read(STANDARD, "order.created", standard_message(payment_status="bitcoin"))

    def test_a_message_without_data_is_refused(self):
        with pytest.raises(InvalidDeliveryError, match="data is missing"):
            read(STANDARD, "order.created", {"timestamp": "2026-11-20T09:00:00Z"})

    def test_a_message_without_a_type_is_refused(self):
        with pytest.raises(InvalidDeliveryError, match="type is missing"):
            read_delivery("standard_webhooks", delivery(SHOPIFY, "", {"data": {}}))

    def test_a_time_without_an_offset_is_refused(self):
        with pytest.raises(InvalidDeliveryError, match="without an offset"):
            read(STANDARD, "order.created", standard_message(updated_at="2026-11-20T09:00:00"))
