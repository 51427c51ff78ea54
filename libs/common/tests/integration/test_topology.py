"""What a service's queues are to the broker: bounded by policies, and declared again by every later process."""

import asyncio
import json
from urllib.parse import quote

import aio_pika
import httpx
import pytest
from aio_pika.exceptions import DeliveryError
from rappit_common.clock import new_id, utc_now
from rappit_common.messaging import tables
from rappit_common.messaging.outbox import outbox_row
from rappit_common.messaging.publisher import NotTakenError, Publisher
from rappit_common.messaging.relay import Relay
from rappit_common.messaging.topology import Subscription, declare_topology, delay_name
from rappit_common.testing.servers import POLICIES
from rappit_common.testing.waiting import eventually
from rappit_sample.service import ECHO, NoteWritten
from sqlalchemy import insert, select

pytestmark = pytest.mark.server

DELAYS_S = (5.0, 30.0)


def definition(name):
    return next(p["definition"] for p in json.loads(POLICIES.read_text())["policies"] if p["name"] == name)


async def management(sandbox, method, path, body=None):
    async with httpx.AsyncClient(base_url=sandbox.servers.management_url, timeout=30) as client:
        answer = await client.request(method, path.replace("VHOST", quote(sandbox.name)), json=body)
        answer.raise_for_status()
        return answer.json() if answer.content else None


async def declare(sandbox, service, subscription):
    async with await aio_pika.connect(sandbox.rabbitmq_url) as connection:
        await declare_topology(await connection.channel(), service, (subscription,), DELAYS_S)


async def test_every_queue_has_the_policy_that_is_meant_for_it(sandbox):
    name = f"shape-{new_id().hex[-8:]}"
    subscription = Subscription(f"{name}.react-to-it", (f"{name}.told.v1",))
    await declare(sandbox, name, subscription)
    meant = {
        subscription.queue: "rappit-work",
        subscription.dead_letter_queue: None,
        **{delay_name(name, delay_s): "rappit-retry" for delay_s in DELAYS_S},
    }

    async def as_meant():
        found = await management(sandbox, "GET", "/api/queues/VHOST")
        own = {queue["name"]: queue for queue in found if queue["name"].startswith(name)}
        assert {queue: own[queue].get("policy") or None for queue in own} == meant
        assert {queue["type"] for queue in own.values()} == {"quorum"}
        for queue, policy in meant.items():
            assert (own[queue].get("effective_policy_definition") or {}) == (definition(policy) if policy else {})
        return True

    await eventually(as_meant, what="the policies to be in effect")


async def test_every_queue_of_the_running_service_has_a_policy_or_needs_none(sample, sandbox):
    async def all_known():
        found = await management(sandbox, "GET", "/api/queues/VHOST")
        by_name = {queue["name"]: queue.get("policy") for queue in found if queue["name"].startswith("sample.")}
        return by_name and {name for name, policy in by_name.items() if not policy} == {ECHO.dead_letter_queue}

    await eventually(all_known, what="policies on the sample's queues")


async def test_later_process_and_changed_policies_do_not_disturb_a_redeclare(sandbox):
    name = f"again-{new_id().hex[-8:]}"
    subscription = Subscription(f"{name}.react", (f"{name}.told.v1",))
    await asyncio.gather(*(declare(sandbox, name, subscription) for _ in range(3)))
    tuned = {"pattern": f"^{name}\\.", "apply-to": "queues", "priority": 9, "definition": {"max-length": 7}}
    await management(sandbox, "PUT", f"/api/policies/VHOST/{name}", tuned)
    try:
        await declare(sandbox, name, subscription)
    finally:
        await management(sandbox, "DELETE", f"/api/policies/VHOST/{name}")


async def test_queue_filled_to_its_policy_pushes_back_and_holds_up_no_other_row(sample, sandbox):
    name = f"full-{new_id().hex[-8:]}"
    subscription = Subscription(f"{name}.react", (f"{name}.told.v1",))
    await declare(sandbox, name, subscription)
    tuned = {"pattern": f"^{name}\\.", "apply-to": "queues", "priority": 9, "definition": {"max-length": 2}}
    await management(sandbox, "PUT", f"/api/policies/VHOST/{name}", tuned)
    publisher = Publisher(sample.settings.rabbitmq_url, timeout_s=5, name=name)
    await publisher.start()
    await publisher.wait_connected(5)
    running = sample.runtime.units._nudge.__self__
    await running.stop()

    async def send():
        await publisher.publish(
            b"{}",
            exchange="rappit.events",
            routing_key=subscription.events[0],
            event=subscription.events[0],
            message_id=str(new_id()),
            content_type="application/json",
            headers={},
            created_at=utc_now(),
        )

    async def refused():
        try:
            await send()
        except NotTakenError:
            return True
        return False

    try:
        await eventually(refused, what="the full queue's refusal")
        event = NoteWritten(organization_id=new_id(), text="beside a full queue")
        blocked = outbox_row(event) | {"routing_key": subscription.events[0]}
        free = outbox_row(event)
        async with sample.runtime.database.engine.begin() as connection:
            await connection.execute(insert(tables.outbox), [blocked, free])
        await Relay(sample.runtime.database, publisher).drain_once()
        query = select(tables.outbox).where(tables.outbox.c.id.in_([blocked["id"], free["id"]]))
        async with sample.runtime.database.engine.connect() as connection:
            rows = {row.id: row for row in await connection.execute(query)}
        assert rows[free["id"]].sent_at is not None
        assert (rows[blocked["id"]].sent_at, rows[blocked["id"]].failures) == (None, 1)
        assert "is full" in rows[blocked["id"]].last_error
        # Room again: the row leaves by itself.
        await management(sandbox, "DELETE", f"/api/policies/VHOST/{name}")
        await running.start()

        async def sent():
            async with sample.runtime.database.engine.connect() as connection:
                return all(row.sent_at for row in await connection.execute(query))

        await eventually(sent, what="the row that was refused")
    finally:
        await publisher.close()
        await running.start()


async def test_message_that_kills_its_consumer_dies_after_the_policys_limit(sandbox):
    name = f"crash-{new_id().hex[-8:]}"
    subscription = Subscription(f"{name}.react", (f"{name}.told.v1",))
    await declare(sandbox, name, subscription)
    async with await aio_pika.connect(sandbox.rabbitmq_url) as connection:
        channel = await connection.channel()
        deliveries = 0

        async def return_it(message):
            nonlocal deliveries
            deliveries += 1
            await message.reject(requeue=True)

        queue = await channel.declare_queue(subscription.queue, passive=True)
        letters = await channel.declare_queue(subscription.dead_letter_queue, passive=True)
        await queue.consume(return_it)

        async def taken():
            try:
                await channel.default_exchange.publish(aio_pika.Message(b"x", delivery_mode=2), subscription.queue)
            except DeliveryError:
                return False
            return True

        await eventually(taken, what="the queue")
        letter = await eventually(lambda: letters.get(no_ack=True, fail=False), what="the dead letter")
        assert letter.body == b"x"
        assert deliveries == definition("rappit-work")["delivery-limit"] + 1
