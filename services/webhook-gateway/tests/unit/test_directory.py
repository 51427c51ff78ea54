"""Channels are known from memory: bounded, never older than promised, and still there while PostgreSQL is away."""

import asyncio
from dataclasses import replace

import pytest
from rappit_common.clock import new_id
from rappit_common.testing.waiting import eventually
from rappit_gateway.domain.channels import KnownChannel, Provider, SigningKey
from rappit_gateway.domain.hmac_options import HmacOptions
from rappit_gateway.service.directory import ChannelDirectory, DirectoryAwayError


class Postgres:
    def __init__(self):
        self.channels = {}
        self.reads = []
        self.is_away = False
        self.gate = None

    async def load(self, channel_id):
        self.reads.append(channel_id)
        found = self.channels.get(channel_id)
        if self.gate is not None:
            await self.gate.wait()
        if self.is_away:
            raise ConnectionError("refused")
        return found

    def add(self):
        channel = KnownChannel(new_id(), new_id(), Provider.WOOCOMMERCE, None, (SigningKey(b"one"),))
        self.channels[channel.channel_id] = channel
        return channel


@pytest.fixture
def postgres():
    return Postgres()


@pytest.fixture
def clock():
    return [1000.0]


@pytest.fixture
def directory(postgres, clock):
    return ChannelDirectory(postgres.load, clock=lambda: clock[0], entries=3, ttl_s=30, timeout_s=0.2)


async def test_a_channel_is_read_once(postgres, directory):
    channel = postgres.add()
    answers = await asyncio.gather(*(directory.find(channel.channel_id) for _ in range(5)))
    assert answers == [channel] * 5
    assert await directory.find(channel.channel_id) == channel
    assert len(postgres.reads) == 1


async def test_unknown_ids_are_remembered_apart_and_bounded(postgres, directory):
    channel = postgres.add()
    await directory.find(channel.channel_id)
    unknown = [new_id() for _ in range(10)]
    for channel_id in unknown:
        assert await directory.find(channel_id) is None
    assert await directory.find(unknown[-1]) is None
    await directory.find(channel.channel_id)
    assert len(postgres.reads) == 11
    assert len(directory._unknown) == 3


async def test_least_recently_used_channel_goes_first(postgres, directory):
    channels = [postgres.add() for _ in range(3)]
    for channel in channels:
        await directory.find(channel.channel_id)
    await directory.find(channels[0].channel_id)
    await directory.find(postgres.add().channel_id)
    postgres.reads.clear()
    await directory.find(channels[0].channel_id)
    assert postgres.reads == []
    await directory.find(channels[1].channel_id)
    assert postgres.reads == [channels[1].channel_id]


async def test_busy_channel_is_renewed_behind_its_back(postgres, directory, clock):
    channel = postgres.add()
    await directory.find(channel.channel_id)
    changed = postgres.channels[channel.channel_id] = replace(channel, is_active=False)
    clock[0] += 16
    assert await directory.find(channel.channel_id) == channel

    async def renewed():
        return await directory.find(channel.channel_id) == changed

    await eventually(renewed)
    assert len(postgres.reads) == 2


async def test_idle_channel_is_read_anew_after_its_time(postgres, directory, clock):
    channel = postgres.add()
    await directory.find(channel.channel_id)
    changed = postgres.channels[channel.channel_id] = replace(channel, is_active=False)
    clock[0] += 30
    assert await directory.find(channel.channel_id) == changed


async def test_known_channel_outlives_postgres_and_an_unknown_one_is_told_so(postgres, directory, clock):
    channel = postgres.add()
    await directory.find(channel.channel_id)
    postgres.is_away = True
    clock[0] += 3600
    for _ in range(20):
        assert await directory.find(channel.channel_id) == channel
    # Once when its time was up; then once a second at most, and in the background.
    assert len(postgres.reads) == 2
    with pytest.raises(DirectoryAwayError):
        await directory.find(new_id())
    postgres.is_away = False
    changed = postgres.channels[channel.channel_id] = replace(channel, is_active=False)
    clock[0] += 1

    async def renewed():
        return await directory.find(channel.channel_id) == changed

    await eventually(renewed)


async def test_hung_postgres_is_waited_for_once(postgres, directory, clock):
    channel = postgres.add()
    await directory.find(channel.channel_id)
    postgres.gate = asyncio.Event()
    clock[0] += 60
    assert await directory.find(channel.channel_id) == channel
    async with asyncio.timeout(0.1):
        assert await directory.find(channel.channel_id) == channel
    await directory.stop()


async def test_nobody_waits_for_a_read_that_is_slow_to_give_up(postgres, clock):
    """As a pool is, which says farewell to a server that hangs."""
    may_end = asyncio.Event()

    async def load(channel_id):
        try:
            return await postgres.load(channel_id)
        finally:
            await may_end.wait()

    directory = ChannelDirectory(load, clock=lambda: clock[0], ttl_s=30, timeout_s=0.2)
    postgres.gate = asyncio.Event()
    try:
        async with asyncio.timeout(5):
            with pytest.raises(DirectoryAwayError):
                await directory.find(new_id())
            with pytest.raises(DirectoryAwayError):
                await directory.find(new_id(), within_s=0.01)
    finally:
        may_end.set()
        await directory.stop()


async def test_forgetting_beats_a_read_that_began_before(postgres, directory):
    channel = postgres.add()
    postgres.gate = asyncio.Event()
    reading = asyncio.create_task(directory.find(channel.channel_id))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    changed = postgres.channels[channel.channel_id] = replace(channel, is_active=False)
    directory.forget(channel.channel_id)
    postgres.gate.set()
    assert await reading == channel
    assert await directory.find(channel.channel_id) == changed


async def test_changed_keys_are_found_again_but_postgres_is_not_asked_for_every_forgery(postgres, directory, clock):
    channel = postgres.add()
    await directory.find(channel.channel_id)
    clock[0] += 2
    assert await directory.find_again(channel.channel_id, channel) is None
    for _ in range(10):
        assert await directory.find_again(channel.channel_id, channel) is None
    assert len(postgres.reads) == 2
    clock[0] += 2
    rotated = postgres.channels[channel.channel_id] = replace(channel, keys=(SigningKey(b"two"),))
    assert await directory.find_again(channel.channel_id, channel) == rotated
    clock[0] += 2
    signs_anew = postgres.channels[channel.channel_id] = replace(rotated, hmac=HmacOptions(prefix="v1="))
    assert await directory.find_again(channel.channel_id, rotated) == signs_anew
