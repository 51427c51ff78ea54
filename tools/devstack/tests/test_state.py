import base64
import socket
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
from rappit_devstack import ports, state
from rappit_devstack.errors import DevstackError
from rappit_devstack.state import Secrets, State


def test_remembers_a_port_between_commands(tmp_path):
    first = State(tmp_path / "stack.json").port("redis")
    assert State(tmp_path / "stack.json").port("redis") == first
    assert State(tmp_path / "stack.json").known_port("redis") == first


def test_chooses_anew_when_a_stranger_took_the_remembered_port(tmp_path):
    remembered = State(tmp_path / "stack.json").port("redis")
    with socket.create_server((ports.LOOPBACK, remembered)):
        assert State(tmp_path / "stack.json").port("redis") != remembered


def test_threads_that_ask_at_once_get_different_ports_and_lose_none(tmp_path):
    memory = State(tmp_path / "stack.json")
    with ThreadPoolExecutor(8) as pool:
        chosen = list(pool.map(memory.port, [f"server-{n}" for n in range(40)]))
    assert len(set(chosen)) == 40
    assert [memory.known_port(f"server-{n}") for n in range(40)] == chosen


def test_a_damaged_memory_is_said_and_not_overwritten(tmp_path):
    path = tmp_path / "stack.json"
    path.write_text("{")
    with pytest.raises(DevstackError, match="make clean"):
        State(path).get("name")
    assert path.read_text() == "{"


def test_secrets_are_made_once_and_readable_by_their_owner_only(tmp_path):
    path = tmp_path / "secrets.env"
    password = Secrets(path).password("JWT_SECRET")
    assert len(password) >= 32
    assert Secrets(path).password("JWT_SECRET") == password
    assert Secrets(path).password("OTHER") != password
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_key_is_32_bytes_also_when_read_again(tmp_path):
    path = tmp_path / "secrets.env"
    key = Secrets(path).key("ENCRYPTION_KEY")
    assert len(base64.urlsafe_b64decode(key)) == 32
    assert Secrets(path).key("ENCRYPTION_KEY") == key


def test_two_commands_cannot_hold_one_folder(tmp_path):
    with (
        state.locked(tmp_path / "lock"),
        pytest.raises(DevstackError, match="in use: a test holds it"),
        state.locked(tmp_path / "lock", wait_s=0, reason="a test holds it"),
    ):
        pytest.fail("the second lock was given")
    with state.locked(tmp_path / "lock", wait_s=0):
        pass
