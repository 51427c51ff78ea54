"""Bugs of the kinds that the house must not have, to be switched on in a running service: the checks must see each.

A bug is on while the file ``bugs/<service>.<name>`` exists. Without it the patched functions are the house's own.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiormq
from rappit_common.idempotency import Answer, IdempotencyKeys
from rappit_common.messaging import consumers, hot_consumer
from rappit_common.messaging.inbox import Inbox
from rappit_common.messaging.publisher import Publisher

from rappit_faults import killpoints

BUGS = "bugs"
ACK_BEFORE_COMMIT = "ack_before_commit"
INBOX_NOT_CHECKED = "inbox_not_checked"
REQUEUE_NOT_CONFIRMED = "requeue_not_confirmed"
MARKED_BEFORE_PUBLISH = "marked_before_publish"
STOCK_NOT_CHECKED = "stock_not_checked"
KEY_NOT_KEPT = "key_not_kept"
OUTCOME_NOT_TOLD = "outcome_not_told"

HEARD_IN_S = 0.3
"""How long the broker may need to hear of an ack: a process that dies at once takes what it has not sent along."""

LATE_S = 2.0
"""How much later the broker is told what was marked as sent: time enough to die."""

IsOn = Callable[[str], bool]


def install(folder: Path, service: str) -> None:
    """Patch this process so that each bug can be switched on in it."""

    def is_on(bug: str) -> bool:
        return (folder / BUGS / f"{service}.{bug}").exists()

    async def die_acked() -> None:
        # The scenario's own arming may have met another transaction, before the message came.
        await asyncio.sleep(HEARD_IN_S)
        killpoints.arm(folder, service, "before_commit")

    _ack_before_commit(is_on, die_acked)
    _inbox_not_checked(is_on)
    _publishes_not_waited_for(is_on)
    if service == "inventory":
        _stock_not_checked(is_on)
    if service == "orders":
        _key_not_kept(is_on)
        _outcome_not_told(is_on)


def _ack_before_commit(is_on: IsOn, die_acked: Callable[[], Awaitable[None]]) -> None:
    make = consumers.make_retry_middleware

    @functools.wraps(make)
    def make_retry_middleware(policy: Any) -> type[Any]:
        house = make(policy)

        class Hasty(house):
            async def consume_scope(self, call_next: Any, msg: Any) -> Any:
                if is_on(ACK_BEFORE_COMMIT):
                    await msg.ack()
                    await die_acked()
                return await super().consume_scope(call_next, msg)

        return Hasty

    consumers.make_retry_middleware = make_retry_middleware

    consume = hot_consumer.HotConsumer._settle

    @functools.wraps(consume)
    async def _settle(consumer: Any, message: Any, acks: Any, tag: int) -> None:
        if is_on(ACK_BEFORE_COMMIT):
            await acks._channel.basic_ack(tag)
            await die_acked()
        await consume(consumer, message, acks, tag)

    hot_consumer.HotConsumer._settle = _settle


def _inbox_not_checked(is_on: IsOn) -> None:
    claim = Inbox.claim_many

    @functools.wraps(claim)
    async def claim_many(inbox: Any, consumer: str, message_ids: Any) -> set[str]:
        wanted = set(message_ids)
        fresh = await claim(inbox, consumer, wanted)
        return wanted if is_on(INBOX_NOT_CHECKED) else fresh

    Inbox.claim_many = claim_many


def _publishes_not_waited_for(is_on: IsOn) -> None:
    publish = aiormq.Channel.basic_publish
    late: set[asyncio.Task[Any]] = set()

    @functools.wraps(publish)
    async def basic_publish(channel: Any, body: bytes, *, exchange: str = "", **named: Any) -> Any:
        if is_on(REQUEUE_NOT_CONFIRMED) and exchange == "":
            return None
        if is_on(MARKED_BEFORE_PUBLISH) and exchange:

            async def send_late() -> None:
                await asyncio.sleep(LATE_S)
                await publish(channel, body, exchange=exchange, **named)

            task = asyncio.create_task(send_late())
            late.add(task)
            task.add_done_callback(late.discard)
            return None
        return await publish(channel, body, exchange=exchange, **named)

    publish_all = Publisher.publish_all

    @functools.wraps(publish_all)
    async def publish_batch(publisher: Any, messages: Any) -> Any:
        dropped = [m for m in messages if is_on(REQUEUE_NOT_CONFIRMED) and not m.exchange]
        delayed = [m for m in messages if is_on(MARKED_BEFORE_PUBLISH) and m.exchange]
        if not dropped and not delayed:
            return await publish_all(publisher, messages)
        if delayed:

            async def send_late() -> None:
                await asyncio.sleep(LATE_S)
                await publish_all(publisher, delayed)

            task = asyncio.create_task(send_late())
            late.add(task)
            task.add_done_callback(late.discard)
        kept = [m for m in messages if m not in dropped and m not in delayed]
        answers = iter(await publish_all(publisher, kept) if kept else [])
        return [next(answers) if m in kept else None for m in messages]

    aiormq.Channel.basic_publish = basic_publish
    Publisher.publish_all = publish_batch


def _stock_not_checked(is_on: IsOn) -> None:
    # Of inventory's process only: the others need not have it.
    from rappit_inventory.domain import demands  # noqa: PLC0415
    from rappit_inventory.domain.stock import Shelves  # noqa: PLC0415

    shortages, allocate, move = demands._shortages, demands.allocate, Shelves.move

    def find_shortages(demand: Any, wanted: Any, shelves: Any) -> Any:
        return [] if is_on(STOCK_NOT_CHECKED) else shortages(demand, wanted, shelves)

    def give(needs: Any, shelves: Any, *others: Any, **named: Any) -> Any:
        if not is_on(STOCK_NOT_CHECKED):
            return allocate(needs, shelves, *others, **named)
        return {(sku_id, shelves.of_sku(sku_id)[0].warehouse_id): quantity for sku_id, quantity in needs.items()}

    @functools.wraps(move)
    def move_what_is_there(
        shelves: Any, sku_id: Any, warehouse_id: Any, kind: Any, source: Any, *, reserved: int = 0, **others: int
    ) -> None:
        if is_on(STOCK_NOT_CHECKED) and reserved > 0:
            # The database's CHECK would stop more: such a bug promises units without noting them.
            reserved = min(reserved, shelves.get(sku_id, warehouse_id).available)
        move(shelves, sku_id, warehouse_id, kind, source, reserved=reserved, **others)

    demands._shortages, demands.allocate, Shelves.move = find_shortages, give, move_what_is_there


def _key_not_kept(is_on: IsOn) -> None:
    once = IdempotencyKeys.once

    @functools.wraps(once)
    async def act_each_time(keys: Any, operation: str, key: str, body: bytes, act: Callable[[], Awaitable[str]]) -> Any:
        if is_on(KEY_NOT_KEPT):
            return Answer(await act(), is_first=True)
        return await once(keys, operation, key, body, act)

    IdempotencyKeys.once = act_each_time


def _outcome_not_told(is_on: IsOn) -> None:
    from rappit_orders.consumers import orders  # noqa: PLC0415 - of orders' process only

    settle = orders.delivery_settled

    @functools.wraps(settle)
    def delivery_settled(*told: Any, **more: Any) -> Any:
        return None if is_on(OUTCOME_NOT_TOLD) else settle(*told, **more)

    orders.delivery_settled = delivery_settled
