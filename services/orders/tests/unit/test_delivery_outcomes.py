"""A dead letter of a webhook is told to the gateway's log; any other is nobody's business."""

import pytest
from rappit_common.clock import new_id, utc_now
from rappit_orders.service.settling import announce_dead_letter

ORGANIZATION, CHANNEL, MESSAGE = new_id(), new_id(), new_id()


def letter(**changes):
    return {
        "queue": "orders.accept-webhook",
        "message_id": str(MESSAGE),
        "headers": {
            "rappit-organization-id": str(ORGANIZATION),
            "rappit-channel-id": str(CHANNEL),
            "rappit-provider": "shopify",
            "rappit-topic": "orders/create",
            "rappit-delivery-id": "d-1",
            "rappit-dedupe-key": "shopify:d-1",
            "rappit-received-at": "2026-11-20T09:30:00.125000Z",
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        },
        "body": b"{",
        "error_type": "unreadable_body",
        "error_message": "The body is not JSON." * 100,
        "last_failed_at": utc_now(),
        **changes,
    }


def test_dead_webhook_is_told_with_its_reason_cut_to_what_a_log_needs():
    dead = letter()
    event = announce_dead_letter(dead)
    assert event is not None
    told = event.model_dump()
    assert (told["organization_id"], told["channel_id"], told["message_id"]) == (ORGANIZATION, CHANNEL, MESSAGE)
    assert (told["outcome"], told["error_type"]) == ("dead_lettered", "unreadable_body")
    assert told["error_message"] == dead["error_message"][:500]
    assert (told["topic"], told["delivery_id"], told["order_id"]) == ("orders/create", "d-1", None)
    assert told["settled_at"] == dead["last_failed_at"]
    assert event.mandatory


@pytest.mark.parametrize(
    "changes",
    [
        {"queue": "orders.apply-reservation"},
        {"headers": {"rappit-organization-id": str(ORGANIZATION)}},
        {"message_id": "4bf92f3577b34da6a3ce929d0e0e47364bf92f3577b34da6a3ce929d0e0e4736"},
    ],
)
def test_other_dead_letters_are_in_no_log(changes):
    assert announce_dead_letter(letter(**changes)) is None
