import base64
import os

import pytest
from rappit_common.crypto import SecretBox, UndecryptableError
from rappit_common.settings import EncryptionKey, ServiceSettings, StatefulSettings, load_settings

GOOD_SECRET = "x7Gq-2Lw9Rk_4Tz8Vb1Nc6Md3Hf5Js0Pa"


class WithKey(ServiceSettings):
    encryption_key: EncryptionKey


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch):
    for name in ("JWT_SECRET", "DATABASE_URL", "RABBITMQ_URL", "REDIS_URL", "ENCRYPTION_KEY"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def refusal(capsys, kind):
    with pytest.raises(SystemExit) as ended:
        load_settings(kind)
    assert ended.value.code == 78
    return capsys.readouterr().err


def test_missing_secrets_are_each_named(capsys):
    said = refusal(capsys, StatefulSettings)
    assert all(f"{name} is not set" in said for name in ("JWT_SECRET", "DATABASE_URL", "RABBITMQ_URL", "REDIS_URL"))


@pytest.mark.parametrize("weak", ["short", "a" * 64, "secret" * 10])
def test_weak_secret_is_refused_and_never_printed(capsys, bare_environment, weak):
    bare_environment.setenv("JWT_SECRET", weak)
    said = refusal(capsys, ServiceSettings)
    assert "JWT_SECRET is too weak" in said
    assert weak not in said


def test_empty_secret_counts_as_missing(capsys, bare_environment):
    bare_environment.setenv("JWT_SECRET", "")
    assert "JWT_SECRET is not set" in refusal(capsys, ServiceSettings)


def test_good_secret_is_accepted_and_hidden(bare_environment):
    bare_environment.setenv("JWT_SECRET", GOOD_SECRET)
    settings = load_settings(ServiceSettings)
    assert GOOD_SECRET not in repr(settings)


def test_settings_are_frozen(bare_environment):
    bare_environment.setenv("JWT_SECRET", GOOD_SECRET)
    settings = load_settings(ServiceSettings)
    with pytest.raises(ValueError, match="frozen"):
        settings.http_port = 1


def test_encryption_key_of_the_wrong_size_is_refused(capsys, bare_environment):
    bare_environment.setenv("JWT_SECRET", GOOD_SECRET)
    bare_environment.setenv("ENCRYPTION_KEY", base64.urlsafe_b64encode(b"too short").decode())
    assert "ENCRYPTION_KEY must be 32 random bytes" in refusal(capsys, WithKey)


def test_stored_secret_is_read_back_only_with_its_key_or_the_next_ones_previous(bare_environment):
    bare_environment.setenv("JWT_SECRET", GOOD_SECRET)

    def key():
        bare_environment.setenv("ENCRYPTION_KEY", base64.urlsafe_b64encode(os.urandom(32)).decode())
        return load_settings(WithKey).encryption_key

    old, new = key(), key()
    token = SecretBox(old).encrypt("whsec_1")
    assert b"whsec_1" not in token
    assert SecretBox(new, old).decrypt(token) == "whsec_1"
    with pytest.raises(UndecryptableError):
        SecretBox(new).decrypt(token)
