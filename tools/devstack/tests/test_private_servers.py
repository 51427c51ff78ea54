"""Real servers beside whatever else runs: started, crashed, found again, never mistaken for others."""

import os
import secrets
import signal
import socket
import time
from pathlib import Path

import asyncpg
import pytest
import redis
from rappit_devstack import ports, postgres, premises
from rappit_devstack.errors import DevstackError
from rappit_devstack.rabbitmq import management_request
from rappit_devstack.servers import Servers

pytestmark = [pytest.mark.server, pytest.mark.timeout(180), pytest.mark.xdist_group("devstack-servers")]


def _sql(url, statement):
    async def run():
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return postgres.run(run())


def _ours(folder):
    """Processes that live from this folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                told = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            if str(folder).encode() in told and int(entry.name) != os.getpid():
                found.append(entry.name)
    return found


def _left_after_a_moment(folder):
    """What still runs once the killed servers' own helpers have had the time to notice."""
    deadline = time.monotonic() + 20
    while (left := _ours(folder)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    # Longer than a Unix socket's path may be.
    return tmp_path_factory.mktemp("a-clone-in-a-folder-far-down") / ("deep-" * 20) / "stack"


@pytest.fixture(scope="module")
def servers(folder):
    made = Servers(folder, durable=False, environment={}, say=lambda _line: None)
    # Containers are another test's: here the processes are meant.
    made._place.state.put(way="private")
    made.start()
    yield made
    made.kill()
    assert _left_after_a_moment(folder) == []


def test_all_three_serve(servers):
    urls = servers.start()
    assert _sql(urls.postgres, "SELECT 1 + 1") == 2
    assert int(_sql(urls.postgres, "SHOW max_connections")) >= 300
    assert management_request("GET", urls.rabbitmq_management, "/api/overview")["node"] == "rappit@localhost"
    with redis.Redis.from_url(urls.redis) as client:
        assert client.ping()


def test_a_path_that_the_brokers_scripts_cannot_bear_is_a_sentence(tmp_path):
    folder = tmp_path / "my clone"
    made = Servers(folder, environment={}, say=lambda _line: None)
    made._place.state.put(way="private")
    with pytest.raises(DevstackError, match="holds blanks"):
        made.start()
    assert _ours(folder) == []


def test_strangers_without_the_password_are_turned_away(servers):
    urls = servers.start()
    with pytest.raises(asyncpg.InvalidPasswordError):
        _sql(urls.postgres.replace("postgres:", "postgres:x"), "SELECT 1")
    with redis.Redis(port=servers.private("redis").port("redis")) as client, pytest.raises(redis.AuthenticationError):
        client.get("x")


def test_another_command_finds_them_running(servers, folder):
    pids = [servers.pid(name) for name in ("postgres", "rabbitmq", "redis")]
    again = Servers(folder, durable=False, environment={}, say=lambda _line: None)
    assert again.start() == servers.start()
    assert [again.pid(name) for name in ("postgres", "rabbitmq", "redis")] == pids


@pytest.mark.parametrize("name", ["postgres", "rabbitmq", "redis"])
def test_a_crashed_server_comes_back(servers, name):
    before = servers.pid(name)
    # Not by our own hand: the whole process group at once, as the kernel does when memory is short.
    os.killpg(before, signal.SIGKILL)
    urls = servers.start()
    assert servers.pid(name) not in {before, None}
    assert _sql(urls.postgres, "SELECT 1") == 1


def test_data_survives_a_crash_of_the_database(servers):
    urls = servers.start()
    _sql(urls.postgres, "CREATE TABLE kept AS SELECT 42 AS answer")
    servers.private("postgres").kill()
    assert _sql(servers.start().postgres, "SELECT answer FROM kept") == 42


def test_broker_keeps_its_virtual_hosts_when_its_ports_change(servers):
    urls = servers.start()
    management_request("PUT", urls.rabbitmq_management, "/api/vhosts/kept", {})
    broker = servers.private("rabbitmq")
    broker.stop()
    taken = broker.port("rabbitmq")
    with socket.create_server((ports.LOOPBACK, taken)):
        urls = servers.start()
        assert broker.port("rabbitmq") != taken
    assert "kept" in [vhost["name"] for vhost in management_request("GET", urls.rabbitmq_management, "/api/vhosts")]


def test_a_lock_file_whose_pid_belongs_to_another_program_does_not_stop_the_database(servers):
    database = servers.private("postgres")
    database.kill()
    lock = database.data / "postmaster.pid"
    lines = lock.read_text().splitlines()
    lock.write_text("\n".join([str(os.getpid()), *lines[1:]]))
    assert _sql(servers.start().postgres, "SELECT 1") == 1


def test_a_server_that_answers_on_our_port_is_not_taken_for_ours(servers, tmp_path):
    theirs = servers.private("redis")
    ours = Servers(tmp_path, environment={}, say=lambda _line: None)
    ours._place.state.put(way="private", ports={"redis": theirs.port("redis")})
    mine = type(theirs)(ours._place, theirs.programs)
    assert not mine.is_ready()


def test_rooms_are_removed_only_when_they_carry_our_mark(servers, tmp_path):
    def rooms(mark):
        return premises.Premises(servers.start(), name, mark, secrets.token_hex(16), 0)

    name = premises.fresh_name()
    mark = premises.mark_of(tmp_path / "it's here")
    rooms(mark).furnish()
    rooms(mark).furnish()
    with pytest.raises(premises.DevstackError, match="mark"):
        rooms("another's").demolish()
    assert _sql(rooms(mark).admin_database_url, "SELECT 1") == 1
    rooms(mark).demolish()
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        _sql(rooms(mark).admin_database_url, "SELECT 1")
    rooms(mark).demolish()
