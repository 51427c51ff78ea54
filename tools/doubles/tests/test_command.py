"""The command as a process: it serves, stops when told to, and says what is wrong."""

import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest


def start(*arguments):
    command = [sys.executable, "-m", "rappit_doubles", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("which", ["carriers", "channels"])
def test_serves_and_stops_on_sigterm(which):
    process = start(which, "--port", "0")
    try:
        url = process.stdout.readline().strip().rpartition(" ")[2]
        deadline = time.monotonic() + 10
        while True:
            try:
                assert httpx.get(f"{url}/health/ready").json() == {"status": "ok"}
                break
            except httpx.ConnectError:
                assert time.monotonic() < deadline
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
        assert process.stderr.read() == ""
    finally:
        process.kill()
        process.communicate()


def test_says_that_the_port_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = start("carriers", "--port", str(taken.getsockname()[1]))
        _, told = process.communicate(timeout=15)
    assert process.returncode == 1
    assert "Choose another --port" in told
    assert "Traceback" not in told
