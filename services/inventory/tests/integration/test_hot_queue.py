"""The queue every order goes through is read past FastStream: what is told of it stays the same."""

import json

import aio_pika
import pytest
from rappit_common.messaging.inbox import UnidentifiedMessageError
from rappit_common.testing.waiting import eventually
from rappit_inventory.consumers import hot_reservations, make_reservation_batcher
from rappit_inventory.messages import RESERVE, OrderDemand

pytestmark = pytest.mark.server

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


def lines_of(caplog, event, order_id):
    entries = (record.msg for record in caplog.records if isinstance(record.msg, dict))
    return [line for line in entries if line["event"] == event and line.get("order_id") == order_id]


async def test_its_document_names_the_queue_and_its_message(inventory):
    document = (await inventory.http.get("/inventory/ops/asyncapi.json")).json()
    [channel] = [found for found in document["channels"].values() if found["address"] == RESERVE.queue]
    assert channel["messages"]
    assert "order_version" in str(document["components"]["schemas"]["OrderDemand"])
    addresses = {found["address"] for found in document["channels"].values()}
    published = {"inventory.reservation-changed.v1", "inventory.stock-changed.v1", "inventory.stock-arrived.v1"}
    assert published <= addresses


async def test_an_order_is_found_in_the_log_by_its_id_and_its_trace(merchant, caplog):
    order = merchant.order({"UNHEARD-OF": 1})
    connection = await aio_pika.connect(merchant.inventory.rabbitmq_url)
    async with connection, connection.channel() as channel:
        body = json.dumps(order).encode()
        message = aio_pika.Message(
            body, message_id=order["order_id"], headers={"traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01"}
        )
        await channel.default_exchange.publish(message, RESERVE.queue)

    async def told():
        return lines_of(caplog, "message_consumed", order["order_id"])

    [consumed] = await eventually(told, what="the line of the message")
    assert consumed["trace_id"] == TRACE_ID
    [applied] = lines_of(caplog, "demand_applied", order["order_id"])
    assert (applied["trace_id"], applied["order_version"], applied["status"]) == (TRACE_ID, 1, "on_hold")


async def test_a_message_that_no_duplicate_could_be_told_from_is_refused(merchant):
    batcher = make_reservation_batcher(merchant.inventory.runtime.units)
    event = OrderDemand.model_validate(merchant.order({"ANY": 1}))
    with pytest.raises(UnidentifiedMessageError):
        await hot_reservations(batcher, prefetch=1).handle(event, None)
