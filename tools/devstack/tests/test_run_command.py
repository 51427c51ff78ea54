"""`rappit-devstack run`: private servers around one command, and nothing left of them."""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rappit_devstack import processes, state
from rappit_devstack.__main__ import main
from rappit_devstack.servers import VARIABLES

COMMAND = str(Path(sys.executable).parent / "rappit-devstack")
REPORT = "import json, os; print(json.dumps({k: v for k, v in os.environ.items() if k.startswith('RAPPIT_')}))"
WAIT = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch(); time.sleep(600)"


def test_without_a_command_it_says_how_to_give_one(capsys):
    assert main(["run"]) == 1
    assert "rappit-devstack run -- COMMAND" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["../elsewhere", "", "servers", "a b"])
def test_a_stack_name_cannot_lead_out_of_its_folder(name, capsys):
    with pytest.raises(SystemExit):
        main(["ps", "--stack", name])
    assert "is not a name" in capsys.readouterr().err


def test_a_stack_that_never_ran_is_a_sentence(capsys):
    assert main(["ps", "--json", "--stack", "never-was"]) == 1
    assert "has never been started: run `make up`" in capsys.readouterr().err


@pytest.fixture
def stack():
    name = f"test-run-{secrets.token_hex(4)}"
    yield name
    shutil.rmtree(state.home() / name)


def _bare_environment():
    """As in a shell that knows of no server."""
    return {name: value for name, value in os.environ.items() if name not in VARIABLES.values()}


def _servers_of(name):
    found = [processes.ProcessRecord.load(path) for path in (state.home() / name).glob("*/process.json")]
    assert found
    return found


@pytest.mark.server
@pytest.mark.xdist_group("devstack-run")
@pytest.mark.parametrize("status", [0, 3])
def test_gives_the_command_its_servers_and_browser_and_passes_on_its_status(stack, status, tmp_path):
    renders = tmp_path / "browser"
    renders.write_text('#!/bin/sh\necho "<p>rendered</p>"\n')
    renders.chmod(0o755)
    code = f"{REPORT}; raise SystemExit({status})"
    done = subprocess.run(
        [COMMAND, "run", "--stack", stack, "--browser", "--", "python", "-c", code],
        env={**_bare_environment(), "RAPPIT_CHROMIUM": str(renders)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == status, done.stderr
    told = json.loads(done.stdout)
    assert set(told) >= set(VARIABLES.values())
    assert told["RAPPIT_CHROMIUM"] == str(renders)
    assert not any(process.alive() for process in _servers_of(stack))


@pytest.mark.server
@pytest.mark.xdist_group("devstack-run")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stops_its_servers_when_it_is_told_to_end(stack, tmp_path, number):
    begun = tmp_path / "begun"
    # A session of its own: a Ctrl-C reaches the whole group of a terminal, and only that. What a shell started in the
    # background ignores SIGINT, and so would everything below it.
    child = subprocess.Popen(
        ["env", "--default-signal=INT", COMMAND, "run", "--stack", stack, "--", "python", "-c", WAIT, str(begun)],
        env=_bare_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert processes.wait_until(begun.exists, timeout_s=60)
    servers = _servers_of(stack)
    assert all(process.alive() for process in servers)
    os.killpg(child.pid, number) if number == signal.SIGINT else child.send_signal(number)
    assert child.wait(timeout=60) != 0
    assert not any(process.alive() for process in servers)
