"""Karrio's import switches TLS verification off for the whole process; ours must leave it on."""

import importlib
import ssl
import subprocess
import sys

CHECK = """
import ssl, {module}
context = ssl._create_default_https_context()
assert context.verify_mode is ssl.CERT_REQUIRED and context.check_hostname, "TLS is not verified"
"""


def verified_after_importing(module):
    done = subprocess.run(  # noqa: S603 - our own interpreter on a literal of this file
        [sys.executable, "-W", "ignore", "-c", CHECK.format(module=module)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode == 0, done.stderr


def test_service_verifies_tls():
    verified, said = verified_after_importing("rappit_shipping.composition")
    assert verified, said


def test_check_sees_what_karrio_does_by_itself():
    verified, said = verified_after_importing("karrio.lib")
    assert not verified
    assert "TLS is not verified" in said


def test_this_process_verifies_tls():
    importlib.import_module("rappit_shipping.carriers.karrio_seam")
    assert ssl._create_default_https_context().verify_mode is ssl.CERT_REQUIRED
