"""docker-compose.yml keeps its promises; read as a file, no engine is asked."""

import importlib
import inspect
import re
from urllib.parse import urlsplit

import pytest
import yaml
from rappit_common.settings import ProcessSettings
from rappit_devstack import catalogue, compose
from rappit_devstack.state import Secrets, State

from .compose_file import FILE, ROOT, STORES, VARIABLE, conditions, environment, fill, make_env, once, raw
from .compose_file import services as compose_services

MODULES = {
    "identity": "rappit_identity",
    "webhook-gateway": "rappit_gateway",
    "orders": "rappit_orders",
    "inventory": "rappit_inventory",
    "shipping": "rappit_shipping",
    "console": "rappit_console",
}
SCHEMAS = {spec.name: spec.schema for spec in catalogue.SERVICES}
STATEFUL = sorted(name for name, schema in SCHEMAS.items() if schema)
OURS = sorted(set(compose_services()) - STORES)
LASTING = sorted(set(compose_services()) - once())
ADMINISTRATION = {"ADMIN_DATABASE_URL", "MIGRATION_DATABASE_URL", "OPERATOR_PASSWORD"}
SECRET_NAME = re.compile(r"SECRET|PASS|KEY")


@pytest.fixture
def values(tmp_path):
    return make_env().missing(FILE, {})


def settings_class(name):
    module = importlib.import_module(f"{MODULES[name]}.settings")
    own = [kind for _, kind in inspect.getmembers(module, inspect.isclass) if kind.__module__ == module.__name__]
    (found,) = [kind for kind in own if issubclass(kind, ProcessSettings)]
    return found


def test_has_every_service_of_the_house():
    assert set(SCHEMAS) == set(MODULES)
    for name in MODULES:
        assert f"SERVICE: services/{name}," in FILE.read_text()
    assert set(compose_services()) >= {*MODULES, *STORES, "ingress"}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_gives_each_service_settings_it_accepts(name, values, monkeypatch):
    told = environment(name, values)
    for variable in settings_class(name).model_fields:
        monkeypatch.delenv(variable.upper(), raising=False)
    for variable, value in told.items():
        monkeypatch.setenv(variable, value)
    settings_class(name)()  # a setting that is missing, weak or malformed raises


@pytest.mark.parametrize("name", sorted(MODULES))
def test_tells_each_service_nothing_it_does_not_read(name):
    read = {field.upper() for field in settings_class(name).model_fields}
    assert set(compose_services()[name]["environment"]) <= read


@pytest.mark.parametrize("name", STATEFUL)
def test_each_schema_has_its_own_two_roles_known_to_its_service_only(name, values):
    runtime = urlsplit(environment(name, values)["DATABASE_URL"])
    prepared = environment(f"{name}-migrate", values)
    owner = urlsplit(prepared["MIGRATION_DATABASE_URL"])
    assert prepared["DATABASE_URL"] == runtime.geturl()
    assert (runtime.username, owner.username) == (f"rappit_{SCHEMAS[name]}", f"rappit_{SCHEMAS[name]}_owner")
    assert compose_services()[f"{name}-migrate"]["image"] == compose_services()[name]["image"]
    passwords = {runtime.password, owner.password}
    assert len(passwords) == 2
    for other in set(compose_services()) - {name, f"{name}-migrate", f"{name}-operator"}:
        assert not [key for key, value in environment(other, values).items() if any(p in value for p in passwords)]


@pytest.mark.parametrize("name", LASTING)
def test_lasting_processes_are_never_told_what_administers(name):
    assert not ADMINISTRATION & set(compose_services()[name].get("environment", {}))


def test_no_secret_has_a_default():
    for name, operator, rest in VARIABLE.findall(FILE.read_text()):
        if SECRET_NAME.search(name):
            assert operator == "?" or (name.endswith("_PREVIOUS") and operator == "-" and not rest), name


def test_no_secret_stands_in_the_file():
    for name, service in compose_services().items():
        for key, value in service.get("environment", {}).items():
            held = re.search(r"://[^/@:]+:(.*)@", VARIABLE.sub("${}", str(value)))
            secret = held.group(1) if held else VARIABLE.sub("${}", str(value)) if SECRET_NAME.search(key) else "${}"
            assert secret == "${}", f"{name}: {key}"


@pytest.mark.parametrize("name", LASTING)
def test_whatever_lasts_says_whether_it_is_well(name):
    service = compose_services()[name]
    assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
    assert service["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", sorted(once()))
def test_whatever_prepares_is_waited_for_until_it_succeeded(name):
    assert compose_services()[name]["healthcheck"] == {"disable": True}
    waiting = [conditions(service).get(name, {}).get("condition") for service in compose_services().values()]
    assert "service_completed_successfully" in waiting


@pytest.mark.parametrize("name", OURS)
def test_ours_run_without_root_privileges_or_a_writable_disk(name):
    service = compose_services()[name]
    assert service["user"] == "10001:10001"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert not service.get("cap_add")
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert all(re.fullmatch(r"/(tmp|data):size=\d+m(,mode=1777)?", mount) for mount in service["tmpfs"])
    assert all(volume.endswith(":ro") for volume in service.get("volumes", []))


@pytest.mark.parametrize("name", sorted(compose_services()))
def test_everything_is_bounded_and_cannot_gain_privileges(name):
    service = compose_services()[name]
    assert service["mem_limit"]
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}
    assert service["cap_drop"] == ["ALL"]
    assert set(service.get("cap_add", [])) <= {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"}
    assert "privileged" not in service
    assert "docker.sock" not in str(service)


def test_every_name_that_is_used_exists():
    declared = raw()
    for name, service in compose_services().items():
        for other, how in conditions(service).items():
            assert other in compose_services(), f"{name} waits for {other}"
            if how["condition"] == "service_healthy":
                assert other not in once()
        assert set(service["networks"]) <= set(declared["networks"])
        assert set(service.get("build", {}).get("secrets", [])) <= set(declared["secrets"])
        for volume in service.get("volumes", []):
            source = volume.split(":", 1)[0]
            assert (ROOT / source).is_file() if source.startswith(".") else source in declared["volumes"]


def test_only_the_played_carriers_and_shops_need_the_demo_profile():
    doubles = {spec.name for spec in catalogue.DOUBLES}
    assert {name for name, service in compose_services().items() if "profiles" in service} == doubles
    assert all(not doubles & set(conditions(service)) for service in compose_services().values())


def test_each_image_of_ours_is_built_here():
    built = {service["image"] for service in compose_services().values() if "build" in service}
    ours = {service["image"] for service in compose_services().values() if "RAPPIT_IMAGES" in service["image"]}
    assert ours == built


def test_publishes_on_loopback_only_on_ports_that_can_be_chosen():
    published = [port for service in compose_services().values() for port in service.get("ports", [])]
    assert published
    for port in published:
        assert re.fullmatch(r"127\.0\.0\.1:\$\{[A-Z_]+_PORT:-\d+\}:\d+", port), port


def test_names_no_container_so_that_a_second_project_fits_beside_it():
    assert "container_name" not in FILE.read_text()
    assert "name" not in raw()


def test_the_stores_are_out_of_reach_for_the_edge():
    networks = {name: set(service["networks"]) for name, service in compose_services().items()}
    for store in STORES:
        assert networks[store] == {"data"}
    assert networks["ingress"] == networks["console"] == {"edge"}


def test_the_ingress_is_told_all_its_template_asks_for(values):
    told = environment("ingress", values)
    asked = set(re.findall(r"\$\{([A-Z_]+)\}", (ROOT / "deploy/ingress/nginx.conf.template").read_text()))
    assert asked <= set(told)
    rendered = re.compile(told["NGINX_ENVSUBST_FILTER"])
    assert asked == {name for name in told if rendered.search(name)}


def test_the_ingress_finds_and_awaits_every_service(values):
    told = environment("ingress", values)
    awaited = conditions(compose_services()["ingress"])
    for name in MODULES:
        variable = f"{name.upper().replace('-', '_')}_UPSTREAM"
        assert told[variable] == f"{name}:{environment(name, values)['HTTP_PORT']}"
        assert "edge" in compose_services()[name]["networks"]
        # nginx resolves names once: it starts after its upstreams, and again when one is made anew.
        assert awaited[name] == {"condition": "service_healthy", "restart": True}


def test_channels_and_browsers_are_told_the_published_address(values):
    address = f"http://127.0.0.1:{values['INGRESS_PORT']}"
    assert environment("webhook-gateway", values)["PUBLIC_BASE_URL"] == address
    assert environment("console", values)["PUBLIC_BASE_URL"] == address
    values["PUBLIC_BASE_URL"] = "https://rappit.example"
    assert environment("console", values)["PUBLIC_BASE_URL"] == "https://rappit.example"


def test_carriers_are_the_real_ones_unless_told_otherwise(values):
    told = environment("shipping", values)
    assert (told["FEDEX_BASE_URL"], told["DHL_BASE_URL"]) == ("", "")


def test_the_devstack_tells_compose_everything_it_requires(tmp_path, monkeypatch):
    for name, _, _ in VARIABLE.findall(FILE.read_text()):
        monkeypatch.delenv(name, raising=False)
    state = State(tmp_path / "state.json")
    for name in compose.PORTS:
        state.port(name)
    told = compose.Project(tmp_path, state, Secrets(tmp_path / "secrets.env")).environment()
    fill(FILE.read_text(), told)  # a required variable that is missing raises
    assert told["ENCRYPTION_KEY"].endswith("=")
    assert set(compose.SERVICES) <= set(compose_services())


def test_says_what_to_do_when_a_secret_is_missing(values):
    del values["JWT_SECRET"]
    with pytest.raises(KeyError, match="JWT_SECRET"):
        fill(FILE.read_text(), values)
    for _, operator, rest in VARIABLE.findall(FILE.read_text()):
        if operator == "?":
            assert rest == "run deploy/compose/make-env"
    assert (ROOT / "deploy/compose/make-env").stat().st_mode & 0o100


def test_is_plain_yaml():
    assert yaml.safe_load(FILE.read_text())["services"]
