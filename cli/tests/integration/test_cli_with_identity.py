"""The command against the real identity service on real servers, as a process of its own."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from rappit_common.clock import new_id, utc_now
from rappit_common.testing.plugin import stateful_settings
from rappit_common.web.auth import Principal, Role, Tokens
from rappit_identity.api import SERVICE
from rappit_identity.settings import IdentitySettings

pytestmark = pytest.mark.server

PASSWORD = "correct horse battery staple"


@dataclass
class Platform:
    """Identity at an address, and an owner of an organization."""

    url: str
    email: str
    organization_id: str
    headers: dict[str, str]


@pytest_asyncio.fixture
async def settings(sandbox):
    return await stateful_settings(
        sandbox, IdentitySettings, "rappit_identity", "identity", auth_limit_per_minute=10_000, rabbitmq_url=""
    )


@pytest.fixture
def platform(settings, serving):
    principal = Principal(new_id(), None, Role.OPERATOR, "operator@example.com")
    token = Tokens(settings.jwt_secret).issue(principal, now=utc_now(), lifetime=timedelta(minutes=5))
    name = new_id().hex
    owner = {"email": f"owner@{name}.test", "name": "Olga Owner", "password": PASSWORD}
    with serving(SERVICE.create(settings, "serve")) as url:
        body = {"name": "Acme Outdoor", "slug": f"acme-{name}", "owner": owner}
        made = httpx.post(f"{url}/organizations", json=body, headers={"Authorization": f"Bearer {token}"})
        assert made.status_code == 201, made.text
        pair = httpx.post(f"{url}/auth/login", json={"email": owner["email"], "password": PASSWORD}).json()
        headers = {"Authorization": f"Bearer {pair['access_token']}"}
        yield Platform(url, owner["email"], made.json()["id"], headers)


@pytest.fixture
def rappit_process(tmp_path):
    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-m", "rappit_cli", *arguments],
            env={"PATH": os.environ["PATH"], "XDG_CONFIG_HOME": str(tmp_path), **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def change_session(tmp_path: Path, **changes: Any) -> None:
    file = tmp_path / "rappit" / "session.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_signs_in_stays_signed_in_and_signs_out(platform, rappit_process, tmp_path):
    login = ("login", "--url", platform.url, "--email", platform.email)
    wrong = rappit_process(*login, RAPPIT_PASSWORD="guess")
    assert (wrong.returncode, wrong.stderr) == (1, "The e-mail address or the password is wrong.\n")
    assert rappit_process(*login, RAPPIT_PASSWORD=PASSWORD).returncode == 0

    me = json.loads(rappit_process("whoami", "--json").stdout)
    assert (me["email"], me["role"], me["organization_id"]) == (platform.email, "owner", platform.organization_id)

    change_session(tmp_path, expires_at_s=1)
    refreshed = rappit_process("whoami")
    assert (refreshed.returncode, refreshed.stderr) == (0, "")
    assert "Acme Outdoor" in refreshed.stdout

    change_session(tmp_path, access_token="forged")
    assert rappit_process("whoami").returncode == 0

    stored = json.loads((tmp_path / "rappit" / "session.json").read_text())
    assert rappit_process("logout").stdout == "Signed out.\n"
    gone = httpx.post(f"{platform.url}/auth/refresh", json={"refresh_token": stored["refresh_token"]})
    assert gone.status_code == 401
    assert rappit_process("whoami").returncode == 1


def test_api_key_works_until_it_is_revoked(platform, rappit_process):
    body = {"name": "Nightly job", "role": "viewer"}
    key = httpx.post(f"{platform.url}/api-keys", json=body, headers=platform.headers).json()
    environment = {"RAPPIT_URL": platform.url, "RAPPIT_API_KEY": key["api_key"]}
    shown = rappit_process("whoami", **environment)
    assert (shown.returncode, "Nightly job" in shown.stdout) == (0, True)
    assert httpx.delete(f"{platform.url}/api-keys/{key['id']}", headers=platform.headers).status_code == 204
    refused = rappit_process("whoami", **environment)
    assert (refused.returncode, refused.stderr) == (1, "The API key is not valid: it is unknown or was revoked.\n")


def test_services_that_are_not_there_are_named_with_the_api_s_own_words(platform, rappit_process):
    login = ("login", "--url", platform.url, "--email", platform.email)
    assert rappit_process(*login, RAPPIT_PASSWORD=PASSWORD).returncode == 0
    listed = rappit_process("dead-letters", "list")
    names = ("orders", "inventory", "shipping", "webhook-gateway")
    assert listed.returncode == 1
    assert listed.stderr.splitlines() == [f"{name} is left out: Not Found" for name in names]
