"""Whose word about a client's address is believed: through the server's own configuration, over real sockets."""

import asyncio
import ipaddress
import json
import socket
from contextlib import asynccontextmanager

import pytest
import uvicorn
from rappit_common.limits import source_of
from rappit_common.service import server_config
from rappit_common.settings import ProcessSettings
from rappit_common.testing.waiting import eventually


async def tell_source(scope, receive, send):
    """An app that answers with whom a request counts for."""
    assert scope["type"] == "http"
    body = json.dumps(source_of(scope)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def served(*trusted):
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        networks = tuple(ipaddress.ip_network(one) for one in trusted)
        settings = ProcessSettings.model_construct(trusted_proxies=networks)
        config = server_config(tell_source, settings)
        config.lifespan = "off"
        server = uvicorn.Server(config)
        server.install_signal_handlers = lambda: None
        running = asyncio.create_task(server._serve([listening]))

        async def started():
            return server.started

        await eventually(started)
        yield listening.getsockname()[1]
        server.should_exit = True
        await running


async def source(port, *forwarded):
    """Ask from 127.0.0.1, with these lines of X-Forwarded-For."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = ["GET / HTTP/1.1", "Host: x", "Connection: close", *(f"X-Forwarded-For: {line}" for line in forwarded)]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return json.loads(answer.partition(b"\r\n\r\n")[2])


@pytest.mark.parametrize("trusted", [(), ("10.0.0.0/8",), ("203.0.113.7/32",)])
async def test_header_of_a_stranger_is_not_believed(trusted):
    async with served(*trusted) as port:
        assert await source(port, "203.0.113.7") == "127.0.0.1"
        assert await source(port, "203.0.113.7, 10.0.0.1") == "127.0.0.1"


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        (["203.0.113.7"], "203.0.113.7"),
        (["1.2.3.4, 203.0.113.7"], "203.0.113.7"),
        (["1.2.3.4, 203.0.113.7, 10.1.2.3"], "203.0.113.7"),
        (["10.9.9.9, 203.0.113.7, 10.1.2.3, 127.0.0.1"], "203.0.113.7"),
        # A proxy may add a line of its own below the client's.
        (["1.2.3.4", "203.0.113.7"], "203.0.113.7"),
        (["2001:db8:1:2::a"], "2001:db8:1:2::/64"),
        ([], "127.0.0.1"),
    ],
)
async def test_rightmost_address_that_is_no_proxys_is_the_clients(forwarded, expected):
    async with served("127.0.0.1/32", "10.0.0.0/8") as port:
        assert await source(port, *forwarded) == expected
