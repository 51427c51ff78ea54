import pytest
from rappit_common.settings import load_settings
from rappit_shipping.settings import ShippingSettings


def given(**changes):
    values = {
        "jwt_secret": "test-jwt-secret-of-more-than-32-characters",
        "encryption_key": "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=",
        "database_url": "postgresql://u:p@h/d",
        "rabbitmq_url": "amqp://u:p@h/",
        "redis_url": "redis://h/0",
    }
    return values | changes


def test_the_real_carriers_are_the_default_and_an_empty_variable_is_none(monkeypatch):
    monkeypatch.setenv("FEDEX_BASE_URL", "")
    settings = load_settings(ShippingSettings, **given())
    assert (settings.fedex_base_url, settings.dhl_base_url) == ("https://apis.fedex.com", "https://api-eu.dhl.com")
    assert (settings.breaker_threshold, settings.breaker_open_s) == (5, 60)


def test_delays_are_read_from_a_list(monkeypatch):
    monkeypatch.setenv("RECONCILE_DELAYS_S", "1, 2.5")
    assert load_settings(ShippingSettings, **given()).reconcile_delays_s == (1, 2.5)


@pytest.mark.parametrize(
    ("changes", "name"),
    [({"encryption_key": "weak"}, "ENCRYPTION_KEY"), ({"dhl_base_url": "ftp://x"}, "DHL_BASE_URL")],
    ids=["key", "url"],
)
def test_unfit_setting_is_named(changes, name, capsys):
    with pytest.raises(SystemExit) as stopped:
        load_settings(ShippingSettings, **given(**changes))
    assert stopped.value.code == 78
    assert capsys.readouterr().err.startswith(name)
