"""Acks are few, and never settle a message that is still in hand."""

import asyncio
import random

import pytest
from rappit_common.messaging.hot_consumer import _Acks


class Channel:
    """Takes acks as a broker would: an unknown tag closes the channel."""

    def __init__(self, tags):
        self.unsettled = set(tags)
        self.acks = []

    async def basic_ack(self, tag, multiple=False, wait=True):  # noqa: ARG002, FBT002 - as the real one
        assert tag in self.unsettled, "unknown delivery tag"
        settled = {other for other in self.unsettled if other == tag or (multiple and other < tag)}
        self.unsettled -= settled
        self.acks.append(sorted(settled))
        await asyncio.sleep(0)

    async def basic_nack(self, tag, requeue):
        assert requeue
        self.unsettled.remove(tag)


def taken(*tags):
    channel = Channel(tags)
    acks = _Acks(channel)
    for tag in tags:
        acks.took(tag)
    return acks, channel


async def finish(acks, *tags):
    await asyncio.gather(*(acks.done(tag) for tag in tags))


async def test_a_batch_is_one_ack():
    acks, channel = taken(1, 2, 3)
    await finish(acks, 1, 2, 3)
    assert channel.acks == [[1, 2, 3]]


async def test_what_finishes_behind_one_in_hand_is_acked_alone():
    acks, channel = taken(1, 2, 3, 4)
    await finish(acks, 1, 3, 4)
    assert channel.acks == [[1], [3], [4]]
    await finish(acks, 2)
    assert channel.unsettled == set()


async def test_what_went_back_holds_up_nobody():
    acks, channel = taken(1, 2, 3)
    await acks.returned(2)
    await finish(acks, 3, 1)
    assert channel.acks == [[1, 3]]


async def test_tags_out_of_order_are_acked_one_by_one():
    acks, channel = taken(1, 3, 2)
    await finish(acks, 3, 1)
    assert channel.acks == [[3], [1]]
    assert channel.unsettled == {2}


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_the_order_exactly_what_is_done_is_settled(seed):
    chance = random.Random(seed)
    tags = range(1, 60)
    acks, channel = taken(*tags)
    in_hand = chance.sample(tags, len(tags))
    while in_hand:
        some = [in_hand.pop() for _ in range(min(len(in_hand), chance.randint(1, 7)))]
        await finish(acks, *some)
        assert channel.unsettled == set(in_hand)
