import os
import signal
import sys
from dataclasses import replace

import pytest
from rappit_devstack import processes
from rappit_devstack.errors import DevstackError
from rappit_devstack.processes import ProcessRecord


@pytest.fixture
def sleeper(tmp_path):
    started = []

    def start(code="import time; time.sleep(600)", **env):
        record = tmp_path / f"{len(started)}.json"
        process = processes.spawn(
            [sys.executable, "-c", code],
            log=tmp_path / "log",
            record=record,
            env={**os.environ, **env},
            cwd=tmp_path,
        )
        started.append(process)
        return process, record

    yield start
    for process in started:
        processes.kill(process)


def test_knows_its_process_again_from_the_record(sleeper):
    process, record = sleeper()
    assert ProcessRecord.load(record) == process
    assert process.alive()


def test_a_killed_process_is_not_alive_although_it_is_our_child(sleeper):
    process, _ = sleeper()
    os.kill(process.pid, signal.SIGKILL)
    assert processes.wait_until(lambda: not process.alive(), timeout_s=10)


def test_never_signals_a_stranger_that_got_the_same_pid(sleeper):
    process, _ = sleeper()
    stale = replace(process, started_ticks=process.started_ticks - 1)
    assert processes.stop(stale)
    processes.kill(stale)
    assert process.alive()


def test_a_record_of_before_a_reboot_is_dead(sleeper):
    process, _ = sleeper()
    assert not replace(process, boot_id="another").alive()


@pytest.mark.parametrize("text", ["", "{}", '{"pid": "x"}', "[]"])
def test_a_damaged_record_is_no_record(tmp_path, text):
    (tmp_path / "record").write_text(text)
    assert ProcessRecord.load(tmp_path / "record") is None


def test_what_ignores_a_polite_signal_is_ended_by_force(sleeper, tmp_path):
    process, _ = sleeper(
        "import signal, time, pathlib; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "pathlib.Path('deaf').touch(); time.sleep(600)"
    )
    assert processes.wait_until((tmp_path / "deaf").exists, timeout_s=10)
    assert not processes.stop(process, timeout_s=0.2)
    assert not process.alive()


def test_finds_marked_processes_whoever_their_parent_is(sleeper):
    process, _ = sleeper(MARK_OF_TEST="here")
    sleeper(MARK_OF_TEST="elsewhere")
    # The environment is the old program's until exec has happened.
    assert processes.wait_until(lambda: list(processes.marked("MARK_OF_TEST", "here")) == [process], timeout_s=10)


def test_a_missing_program_is_a_sentence(tmp_path):
    with pytest.raises(DevstackError, match="could not be started: No such file"):
        processes.spawn(["/nowhere/server"], log=tmp_path / "log", record=tmp_path / "r", env={}, cwd=tmp_path)


def test_a_log_that_grew_too_large_is_begun_afresh(sleeper, tmp_path):
    (tmp_path / "log").write_bytes(b"x" * (processes.LOG_LIMIT_BYTES + 1))
    sleeper()
    assert (tmp_path / "log").stat().st_size < processes.LOG_LIMIT_BYTES
