import socket

import pytest
from rappit_devstack import ports
from rappit_devstack.errors import DevstackError


@pytest.fixture
def listening():
    with socket.create_server((ports.LOOPBACK, 0)) as server:
        yield server.getsockname()[1]


def test_takes_the_preferred_port_while_it_is_free():
    free = ports.choose()
    assert ports.choose(preferred=free) == free


def test_passes_over_a_preferred_port_that_somebody_listens_on(listening):
    assert ports.choose(preferred=listening) != listening


def test_passes_over_a_port_promised_to_another_server():
    free = ports.choose()
    assert ports.choose(preferred=free, taken={free}) != free


def test_stays_below_the_ephemeral_range():
    assert all(ports.LOWEST <= ports.choose() < 32_768 for _ in range(50))


def test_says_what_to_do_when_no_port_is_free(monkeypatch):
    monkeypatch.setattr(ports, "is_free", lambda _port: False)
    with pytest.raises(DevstackError, match="stop some programs"):
        ports.choose()


def test_answers_only_where_somebody_listens(listening):
    assert ports.answers(listening)
    assert not ports.answers(ports.choose())
