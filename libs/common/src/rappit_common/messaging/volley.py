"""Many messages published by one write, for the relay: a publish of its own each was four fifths of the relay's CPU.

``Channel.basic_publish`` takes a task, a lock, a timer and a dozen small objects for each message and leaves each
message to a write of its own. Here a batch takes the channel's lock once, its frames leave together, and what is waited
for are the channel's own confirm futures (docs/performance.md has what it is worth). The confirms, the returns and a
channel that closes are the client library's business as ever.
"""

import asyncio
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiormq
import pamqp.frame
from aiormq import spec
from aiormq.abc import ChannelFrame
from pamqp.body import ContentBody
from pamqp.header import ContentHeader

from rappit_common.messaging.wire import MAX_SHORT_BYTES, PersistentProperties, PropertyTooLongError


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message as it is to be written.

    Attributes:
        body: Its bytes.
        exchange: Empty for the default exchange.
        routing_key: An event's name, or a queue's.
        properties: All of its properties, with an id.
        mandatory: Whether to refuse what no queue takes.
    """

    body: bytes
    exchange: str
    routing_key: str
    properties: PersistentProperties
    mandatory: bool

    @property
    def message_id(self) -> str:
        """By which a returned message is known."""
        return str(self.properties.message_id)


class _Methods:
    """The frames that open a publish: the messages of a batch share few of them."""

    def __init__(self, channel: int) -> None:
        self._channel = channel
        self._known: dict[tuple[str, str, bool], bytes] = {}

    def frame(self, message: Outgoing) -> bytes:
        key = (message.exchange, message.routing_key, message.mandatory)
        frame = self._known.get(key)
        if frame is None:
            if len(message.routing_key.encode()) > MAX_SHORT_BYTES:
                raise PropertyTooLongError(f"the routing key {message.routing_key[:40]!r}… is longer than 255 bytes")
            publish = spec.Basic.Publish(
                exchange=message.exchange, routing_key=message.routing_key, mandatory=message.mandatory
            )
            frame = self._known[key] = pamqp.frame.marshal(publish, self._channel)
        return frame


def _content(message: Outgoing, channel: aiormq.Channel) -> list[bytes]:
    header = ContentHeader(properties=message.properties, body_size=len(message.body))
    step = channel.max_content_size
    parts = (message.body[start : start + step] for start in range(0, len(message.body), step))
    return [pamqp.frame.marshal(frame, channel.number) for frame in (header, *map(ContentBody, parts))]


async def publish_together(
    channel: aiormq.Channel, messages: Sequence[Outgoing]
) -> list["asyncio.Future[Any] | Exception"]:
    """Publish messages of different ids by one write, without waiting for their confirms.

    Args:
        channel: With publisher confirms.
        messages: None with the id of another that still waits for its confirm: a return is told by its message's id.

    Returns:
        For each message the future of its confirm, or why it cannot be written at all.

    Raises:
        AMQPError: The channel is gone, and nothing was written.
    """
    methods = _Methods(channel.number)
    frames: list[bytes] = []
    results: list[asyncio.Future[Any] | Exception] = []
    async with channel.lock:
        before = channel.delivery_tag
        for message in messages:
            try:
                written = [methods.frame(message), *_content(message, channel)]
            except Exception as error:  # noqa: BLE001 - told to the caller: what has no form on the wire holds up nobody
                results.append(error)
                continue
            channel.delivery_tag += 1
            confirm = channel.create_future()
            channel.confirmations[channel.delivery_tag] = confirm
            channel.message_id_delivery_tag[message.message_id] = channel.delivery_tag
            confirm.add_done_callback(functools.partial(_forget, channel, channel.delivery_tag, message.message_id))
            frames += written
            results.append(confirm)
        try:
            await channel.write_queue.put(ChannelFrame(b"".join(frames), should_close=False))
        except BaseException:
            # The broker has seen none of them: their numbers are the next ones'.
            for confirm in results:
                if isinstance(confirm, asyncio.Future):
                    confirm.cancel()
            for tag in range(before + 1, channel.delivery_tag + 1):
                del channel.confirmations[tag]
            channel.delivery_tag = before
            raise
    return results


def _forget(channel: aiormq.Channel, tag: int, message_id: str, _confirm: "asyncio.Future[Any]") -> None:
    if channel.message_id_delivery_tag.get(message_id) == tag:
        del channel.message_id_delivery_tag[message_id]
