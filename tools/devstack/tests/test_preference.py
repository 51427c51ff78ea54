"""In which order servers are looked for."""

import pytest
from rappit_devstack import binaries, compose, debian, state
from rappit_devstack.errors import DevstackError
from rappit_devstack.servers import ServerUrls, from_environment
from rappit_devstack.state import Secrets, State

URLS = ServerUrls("postgresql://p", "amqp://r", "http://m", "redis://r")


def test_urls_of_the_environment_come_back_as_they_were_exported():
    assert from_environment(URLS.environment()) == vars(URLS)


def test_servers_may_be_given_one_by_one():
    assert from_environment({"RAPPIT_REDIS_URL": "redis://given", "RAPPIT_POSTGRES_URL": ""}) == {
        "redis": "redis://given"
    }


def test_a_broker_without_its_management_api_is_refused():
    with pytest.raises(DevstackError, match="go together"):
        from_environment({"RAPPIT_RABBITMQ_URL": "amqp://given"})


def _programs(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("")


POSTGRES_15 = [f"usr/lib/postgresql/15/bin/{name}" for name in ("initdb", "postgres")]


def test_programs_of_the_machine_come_before_extracted_ones(tmp_path):
    machine, extracted = tmp_path / "machine", tmp_path / "extracted"
    _programs(machine, *POSTGRES_15)
    _programs(extracted, *POSTGRES_15)
    assert binaries.locate("postgres", system=machine, extracted=extracted).root == machine


def test_extracted_programs_serve_where_the_machine_has_none(tmp_path):
    _programs(tmp_path / "extracted", "usr/bin/redis-server")
    found = binaries.locate("redis", system=tmp_path / "machine", extracted=tmp_path / "extracted")
    assert found["redis-server"] == str(tmp_path / "extracted/usr/bin/redis-server")


def test_extracted_programs_are_told_where_their_libraries_are(tmp_path):
    _programs(tmp_path / "extracted", "usr/sbin/nginx", "usr/lib/x86_64-linux-gnu/libpcre2-8.so.0")
    found = binaries.locate("nginx", system=tmp_path / "machine", extracted=tmp_path / "extracted")
    assert str(tmp_path / "extracted/usr/lib/x86_64-linux-gnu") in found.environment()["LD_LIBRARY_PATH"]


def test_the_newest_postgresql_is_taken_by_number_not_by_letters(tmp_path):
    _programs(tmp_path, *POSTGRES_15, *(path.replace("/15/", "/9/") for path in POSTGRES_15))
    assert "/15/" in binaries.locate("postgres", system=tmp_path, extracted=tmp_path)["initdb"]


def test_a_client_only_postgresql_is_none(tmp_path):
    _programs(tmp_path, "usr/lib/postgresql/15/bin/psql")
    assert binaries.locate("postgres", system=tmp_path, extracted=tmp_path) is None


def test_rabbitmq_needs_its_erlang_too(tmp_path):
    _programs(tmp_path, "usr/lib/rabbitmq/bin/rabbitmq-server")
    assert binaries.locate("rabbitmq", system=tmp_path, extracted=tmp_path) is None


def test_where_nothing_can_be_fetched_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DevstackError, match="install PostgreSQL, RabbitMQ"):
        debian.fetch(["redis-server"], tmp_path / "root")


@pytest.fixture
def docker(tmp_path, monkeypatch):
    """A `docker` that answers as told, first in PATH, and a Compose file for it."""
    monkeypatch.setattr(state, "PROJECT", tmp_path)
    (tmp_path / "docker-compose.yml").write_text("services: {}\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def behave(script):
        program = tmp_path / "docker"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    return behave


def test_compose_is_out_when_the_engine_does_not_answer(docker):
    docker('[ "$1" = compose ]')
    assert not compose.available()


def test_compose_is_out_when_only_the_engine_answers(docker):
    docker('[ "$1" = info ]')
    assert not compose.available()


def _project(folder):
    return compose.Project(folder / "demo", State(folder / "demo/stack.json"), Secrets(folder / "demo/secrets.env"))


def test_containers_that_cannot_be_had_are_said_and_passed_over(docker, tmp_path):
    docker('case "$*" in *" up "*) echo "pull access denied"; exit 1;; esac')
    assert compose.available()
    said = []
    project = _project(tmp_path)
    assert project.up(said.append) is None
    assert "pull access denied" in said[-1]
    assert not project.remembered


def test_containers_are_told_their_ports_and_passwords(docker, tmp_path):
    docker(f'env >"{tmp_path}/told"; echo "$@" >>"{tmp_path}/words"')
    project = _project(tmp_path)
    urls = project.up(lambda _line: None)
    told = dict(line.split("=", 1) for line in (tmp_path / "told").read_text().splitlines() if "=" in line)
    assert (
        urls["postgres"]
        == f"postgresql://postgres:{told['POSTGRES_PASSWORD']}@127.0.0.1:{told['POSTGRES_PORT']}/postgres"
    )
    assert urls["redis"] == f"redis://:{told['REDIS_PASSWORD']}@127.0.0.1:{told['REDIS_PORT']}/0"
    assert urls["rabbitmq"].endswith(f":{told['RABBITMQ_PORT']}/%2F")
    assert f"--project-name {project.name} " in (tmp_path / "words").read_text()
    assert project.remembered


def test_two_clones_have_two_compose_projects(tmp_path):
    assert _project(tmp_path / "a").name != _project(tmp_path / "b").name
