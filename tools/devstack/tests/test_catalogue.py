from dataclasses import replace

from rappit_devstack.catalogue import CATALOGUE, World, upstreams
from rappit_devstack.state import Secrets


def _world(tmp_path):
    numbers = {spec.name: 20_000 + n for n, spec in enumerate(CATALOGUE)}
    return World(
        database_url=lambda role: f"postgresql://{role}:pw@127.0.0.1:1/rappit",
        admin_database_url="postgresql://postgres:pw@127.0.0.1:1/rappit",
        rabbitmq_url="amqp://u:p@127.0.0.1:2/v",
        redis_url="redis://127.0.0.1:3/0",
        ingress_url="http://127.0.0.1:8080",
        port=numbers.__getitem__,
        secrets=Secrets(tmp_path / "secrets.env"),
    )


def _told(tmp_path):
    world = _world(tmp_path)
    return {spec.name: spec.environment(world) for spec in CATALOGUE}


def test_every_service_has_the_same_token_secret(tmp_path):
    services = [told for told in _told(tmp_path).values() if "ENVIRONMENT" in told]
    assert len(services) == 6
    assert len({told["JWT_SECRET"] for told in services}) == 1


def test_a_secret_reaches_only_who_needs_it(tmp_path):
    told = _told(tmp_path)
    assert {name for name, t in told.items() if "ENCRYPTION_KEY" in t} == {"webhook-gateway", "shipping"}
    assert {name for name, t in told.items() if "SESSION_SECRET" in t} == {"console"}
    assert "JWT_SECRET" not in told["carrier-double"]


def test_running_processes_never_know_the_owner_or_the_superuser(tmp_path):
    for told in _told(tmp_path).values():
        assert not {"ADMIN_DATABASE_URL", "MIGRATION_DATABASE_URL"} & set(told)
        assert not any("owner" in value or "postgres:pw" in value for value in told.values())


def test_each_service_has_its_own_database_role(tmp_path):
    roles = {name: t["DATABASE_URL"] for name, t in _told(tmp_path).items() if "DATABASE_URL" in t}
    assert sorted(roles) == ["identity", "inventory", "orders", "shipping", "webhook-gateway"]
    assert len(set(roles.values())) == 5
    assert "rappit_gateway:" in roles["webhook-gateway"]


def test_migrations_run_as_the_owner(tmp_path):
    world = _world(tmp_path)
    orders = next(spec for spec in CATALOGUE if spec.name == "orders")
    told = orders.migration_environment(world)
    assert told["MIGRATION_DATABASE_URL"].startswith("postgresql://rappit_orders_owner:")
    assert told["ADMIN_DATABASE_URL"] == world.admin_database_url
    assert orders.once("provision", "migrate") == ("rappit-orders", "provision", "migrate")


def test_the_ingress_knows_every_service_and_no_double(tmp_path):
    assert sorted(upstreams(_world(tmp_path))) == [
        "CONSOLE_UPSTREAM",
        "IDENTITY_UPSTREAM",
        "INVENTORY_UPSTREAM",
        "ORDERS_UPSTREAM",
        "SHIPPING_UPSTREAM",
        "WEBHOOK_GATEWAY_UPSTREAM",
    ]


def test_settings_of_a_stack_reach_services_and_not_doubles(tmp_path):
    world = replace(_world(tmp_path), settings={"RETRY_DELAYS_S": "0.1,0.2"})
    told = {spec.name: spec.environment(world) for spec in CATALOGUE}
    assert told["orders"]["RETRY_DELAYS_S"] == "0.1,0.2"
    assert "RETRY_DELAYS_S" not in told["channel-double"]
