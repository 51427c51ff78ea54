"""What happens to a message, specified once for both ways to consume: FastStream's and the hot one."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import quote

import aio_pika
import httpx
import pytest
import pytest_asyncio
from faststream.rabbit import RabbitMessage, RabbitRouter
from pydantic import SecretStr
from rappit_common.clock import new_id, utc_now
from rappit_common.errors import ConflictError
from rappit_common.messaging import retry
from rappit_common.messaging.consumers import Consumers
from rappit_common.messaging.events import EVENTS_EXCHANGE, ReceivedEvent
from rappit_common.messaging.hot_consumer import HotConsumer, HotSubscription
from rappit_common.messaging.publisher import Publisher
from rappit_common.messaging.retry import RetryPolicy
from rappit_common.messaging.topology import Subscription
from rappit_common.testing.servers import Sandbox
from rappit_common.testing.waiting import eventually
from rappit_common.tracing import current_trace_id

pytestmark = pytest.mark.server

PREFETCH = 5
DELAYS_S = (0.05, 0.1)
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"


class Told(ReceivedEvent):
    text: str


class RefusedError(ConflictError):
    code = "refused"


@dataclass
class Script:
    """What the handler does, decided by a test, and what it was given."""

    failures: list[Exception] = field(default_factory=list)
    seen: list[tuple[str, str | None]] = field(default_factory=list)
    traces: list[str | None] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, event: Told, message_id: str | None) -> None:
        self.seen.append((event.text, message_id))
        self.traces.append(current_trace_id())
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        self.done.append(event.text)


def make_faststream(url, subscription, policy, script):
    router = RabbitRouter()

    @router.subscriber(subscription.as_faststream())
    async def told(event: Told, message: RabbitMessage) -> None:
        await script.handle(event, message.message_id)

    return Consumers(
        service=policy.service,
        url=url,
        router=router,
        subscriptions=(subscription,),
        policy=policy,
        context={},
        prefetch=PREFETCH,
    )


def make_hot(url, subscription, policy, script):
    hot = HotSubscription(subscription, Told, script.handle, PREFETCH)
    return HotConsumer(service=policy.service, url=url, hot=hot, policy=policy)


@dataclass
class Bench:
    """One consumer on a queue of its own, and a client beside it."""

    script: Script
    consumer: object
    policy: RetryPolicy
    subscription: Subscription
    channel: aio_pika.abc.AbstractChannel
    sandbox: Sandbox

    async def send(self, text="hello", *, body=None, headers=None, created_at=None):
        message_id = str(new_id())
        exchange = await self.channel.get_exchange(EVENTS_EXCHANGE)
        message = aio_pika.Message(
            f'{{"organization_id": "{new_id()}", "text": "{text}"}}'.encode() if body is None else body,
            message_id=message_id,
            type=self.subscription.events[0],
            content_type="application/json",
            headers={"traceparent": TRACEPARENT, "note": "kept", **(headers or {})},
            delivery_mode=2,
            timestamp=created_at,
        )
        await exchange.publish(message, self.subscription.events[0])
        return message_id

    async def queue(self, name=None):
        # Not robust: a robust channel would answer from memory the second time.
        return await self.channel.declare_queue(name or self.subscription.queue, passive=True, robust=False)

    async def ready(self):
        return (await self.queue()).declaration_result.message_count

    async def dead_letter(self):
        queue = await self.queue(self.subscription.dead_letter_queue)

        async def dead():
            return await queue.get(no_ack=True, fail=False)

        return await eventually(dead, what="the dead letter")

    async def until_done(self, *texts):
        async def all_done():
            return sorted(self.script.done) == sorted(texts)

        await eventually(all_done, what=f"{texts} done")

    async def assert_settled(self):
        """Nothing is left: neither in the queue, nor held by the consumer, nor dead."""
        await self.consumer.stop()
        assert await self.ready() == 0
        assert (await self.queue(self.subscription.dead_letter_queue)).declaration_result.message_count == 0

    async def cut_connections(self):
        """Close every connection of the virtual host from the broker's side."""
        url, vhost = self.sandbox.servers.management_url, self.sandbox.name
        async with httpx.AsyncClient(base_url=url, timeout=30) as client:

            async def listed():
                return (await client.get(f"/api/vhosts/{quote(vhost)}/connections")).json()

            for connection in await eventually(listed, within_s=20, what="the list of connections"):
                await client.delete(f"/api/connections/{quote(connection['name'])}")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def own_sandbox(servers, sandbox):
    """A virtual host whose connections may be cut."""
    own = Sandbox(servers, f"alike-{sandbox.name[-12:]}")
    await own.create()
    yield own
    await own.drop()


class FailsWell:
    """The specification. A variant says how its consumer is made."""

    make = None

    @pytest_asyncio.fixture
    async def bench(self, running_sample, own_sandbox):
        url = SecretStr(own_sandbox.rabbitmq_url)
        name = f"alike-{new_id().hex[-8:]}"
        subscription = Subscription(f"{name}.react", (f"{name}.told.v1",))
        publisher = Publisher(url, timeout_s=5, name=name)
        await publisher.start()
        await publisher.wait_connected(5)
        policy = RetryPolicy(name, publisher, running_sample.runtime.database, DELAYS_S)
        script = Script()
        script.gate.set()
        consumer = self.make(url, subscription, policy, script)
        await consumer.start()

        async def running():
            return consumer.is_running

        await eventually(running, what="the consumer")
        connection = await aio_pika.connect_robust(own_sandbox.rabbitmq_url, reconnect_interval=0.2)
        async with connection:
            channel = await connection.channel()
            yield Bench(script, consumer, policy, subscription, channel, own_sandbox)
            script.gate.set()
            await consumer.stop()
            await publisher.close()

    async def test_handled_message_is_gone_and_its_trace_went_on(self, bench, caplog):
        message_id = await bench.send()
        await bench.until_done("hello")
        assert bench.script.seen == [("hello", message_id)]
        assert bench.script.traces == [TRACE_ID]
        await bench.assert_settled()
        lines = [r.msg for r in caplog.records if isinstance(r.msg, dict) and r.msg["event"] == "message_consumed"]
        assert [(line["message_id"], line["queue"], line["trace_id"]) for line in lines] == [
            (message_id, bench.subscription.queue, TRACE_ID)
        ]

    async def test_refusal_is_dead_at_once_with_its_reason(self, bench):
        bench.script.failures[:] = [RefusedError("Not this one.")]
        message_id = await bench.send()
        letter = await bench.dead_letter()
        assert (letter.message_id, letter.type) == (message_id, bench.subscription.events[0])
        assert letter.content_type == "application/json"
        assert b'"hello"' in letter.body
        assert letter.headers["rappit-attempt"] == 1
        assert letter.headers["rappit-error-type"] == "refused"
        assert letter.headers["rappit-error-message"] == "Not this one."
        assert "RefusedError" in letter.headers["rappit-error-stack"]
        assert (letter.headers["note"], letter.headers["traceparent"]) == ("kept", TRACEPARENT)
        await bench.assert_settled()

    @pytest.mark.parametrize("body", [b"{not json", b"[]", b'{"text": 5}', b"\xff\xfe", b""])
    async def test_unreadable_message_is_dead_at_once_as_it_came(self, bench, body):
        await bench.send(body=body)
        letter = await bench.dead_letter()
        assert letter.body == body
        assert letter.headers["rappit-attempt"] == 1
        assert letter.headers["rappit-error-type"]
        assert bench.script.seen == []
        await bench.assert_settled()

    async def test_message_older_than_the_memory_of_claims_is_dead_and_not_handled(self, bench):
        created_at = utc_now().replace(microsecond=0) - timedelta(days=6, minutes=1)
        await bench.send(created_at=created_at)
        letter = await bench.dead_letter()
        assert bench.script.seen == []
        assert letter.headers["rappit-error-type"] == "message_too_old"
        assert "remembered for 7 days" in letter.headers["rappit-error-message"]
        assert letter.timestamp == created_at
        await bench.assert_settled()

    async def test_message_is_handled_as_long_as_its_claim_is_surely_kept(self, bench):
        await bench.send("young", created_at=utc_now() - timedelta(days=5, hours=23))
        await bench.send("without a time")
        await bench.until_done("young", "without a time")
        await bench.assert_settled()

    async def test_copy_for_a_later_attempt_is_as_old_as_its_first(self, bench):
        created_at = utc_now().replace(microsecond=0) - timedelta(days=3)
        bench.script.failures[:] = [RuntimeError("first"), RefusedError("second")]
        await bench.send(created_at=created_at)
        letter = await bench.dead_letter()
        assert letter.headers["rappit-attempt"] == 2
        assert letter.timestamp == created_at
        await bench.assert_settled()

    async def test_unexpected_error_is_tried_three_times_in_all(self, bench):
        bench.script.failures[:] = [RuntimeError("first"), RuntimeError("second"), RuntimeError("third")]
        message_id = await bench.send()
        letter = await bench.dead_letter()
        assert bench.script.seen == [("hello", message_id)] * 3
        assert bench.script.traces == [TRACE_ID] * 3
        assert (letter.headers["rappit-attempt"], letter.headers["rappit-error-message"]) == (3, "third")
        await bench.assert_settled()

    async def test_second_attempt_may_succeed(self, bench):
        bench.script.failures[:] = [RuntimeError("once")]
        await bench.send()
        await bench.until_done("hello")
        assert len(bench.script.seen) == 2
        await bench.assert_settled()

    async def test_outage_of_the_database_burns_no_attempt(self, bench):
        bench.script.failures[:] = [ConnectionRefusedError("away")] * 5
        await bench.send()
        await bench.until_done("hello")
        assert len(bench.script.seen) == 6
        await bench.assert_settled()

    async def test_message_goes_back_when_its_copy_is_not_confirmed(self, bench, monkeypatch):
        monkeypatch.setattr(retry, "BROKER_PAUSE_S", 0.01)
        connected, away = bench.policy.publisher, Publisher(None, timeout_s=1, name="away")
        bench.policy.publisher = away
        bench.script.failures[:] = [RefusedError("No.")] * 100
        await bench.send()

        async def came_again():
            return len(bench.script.seen) > 1

        await eventually(came_again, what="a second delivery")
        bench.policy.publisher = connected
        letter = await bench.dead_letter()
        assert letter.headers["rappit-attempt"] == 1
        await bench.assert_settled()

    async def test_failure_of_one_is_not_anothers(self, bench):
        bench.script.failures[:] = [RefusedError("One of them.")]
        for number in range(20):
            await bench.send(f"n{number}")
        letter = await bench.dead_letter()
        refused = letter.body.decode().split('"text": "')[1].rstrip('"}')
        await bench.until_done(*({f"n{number}" for number in range(20)} - {refused}))
        await bench.assert_settled()

    async def test_holds_no_more_than_its_prefetch(self, bench):
        bench.script.gate.clear()
        for number in range(PREFETCH + 3):
            await bench.send(f"n{number}")

        async def full():
            return len(bench.script.seen) == PREFETCH and await bench.ready() == 3

        await eventually(full, what="the prefetch to fill")
        bench.script.gate.set()
        await bench.until_done(*(f"n{number}" for number in range(PREFETCH + 3)))
        await bench.assert_settled()

    async def test_stop_takes_nothing_new_and_finishes_what_is_in_hand(self, bench):
        bench.script.gate.clear()
        await bench.send("in hand")

        async def taken():
            return len(bench.script.seen) == 1

        await eventually(taken, what="the message in hand")
        stopping = asyncio.create_task(bench.consumer.stop())

        late = []

        async def kept_out():
            late.append(await bench.send("late"))
            return await bench.ready() > 0

        await eventually(kept_out, what="the consumer to be cancelled")
        assert len(bench.script.seen) < PREFETCH, "kept out by the prefetch, not by the cancel"
        assert not stopping.done()
        bench.script.gate.set()
        await stopping
        assert bench.script.done == [text for text, _ in bench.script.seen]
        assert bench.script.done[0] == "in hand"

        async def the_rest_is_back():
            return await bench.ready() == 1 + len(late) - len(bench.script.done)

        await eventually(the_rest_is_back, what="what was not taken to be in the queue")

    async def test_comes_back_by_itself_when_its_connection_is_cut(self, bench):
        bench.script.gate.clear()
        await bench.send("before")

        async def taken():
            return len(bench.script.seen) == 1

        await eventually(taken, what="the message in hand")
        await bench.cut_connections()
        bench.script.gate.set()

        async def sent_again():
            try:
                await bench.send("after")
            except (aio_pika.exceptions.AMQPError, OSError, RuntimeError):
                return False
            return True

        await eventually(sent_again, within_s=15, what="our own connection")

        async def both():
            return {"before", "after"} <= set(bench.script.done)

        await eventually(both, within_s=15, what="both messages")


class TestFastStream(FailsWell):
    make = staticmethod(make_faststream)


class TestHot(FailsWell):
    make = staticmethod(make_hot)
