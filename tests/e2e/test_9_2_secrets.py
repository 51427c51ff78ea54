"""9.2: no service starts without its secrets, and the message names the variable."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SERVICES = ("rappit-identity", "rappit-webhook-gateway", "rappit-orders", "rappit-inventory", "rappit-shipping")


@pytest.mark.parametrize(
    ("command", "secret"), [*((service, "JWT_SECRET") for service in SERVICES), ("rappit-console", "SESSION_SECRET")]
)
def test_refuses_to_start_without_its_secret_and_names_it(command, secret):
    secrets = ("JWT_", "SESSION_", "RAPPIT_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(secrets)}
    program = Path(sys.executable).parent / command
    ended = subprocess.run([program, "serve"], env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 78
    assert f"{secret} is not set" in ended.stderr
