import re

import pytest
from rappit_devstack import ingress, state
from rappit_devstack.errors import DevstackError


def test_fills_capitals_and_leaves_nginx_its_own_variables():
    assert ingress.render("listen ${PORT}; set $host;", {"PORT": "8080"}) == "listen 8080; set $host;\n"


def test_a_value_that_nobody_gives_is_refused():
    with pytest.raises(DevstackError, match="PORT"):
        ingress.render("listen ${PORT};", {})


@pytest.mark.parametrize("value", ["a;b", 'a"b', "a\nb", "a}b", "$a"])
def test_a_value_that_would_become_configuration_is_refused(value):
    with pytest.raises(DevstackError, match="plainer path"):
        ingress.render('pid "${FOLDER}";', {"FOLDER": value})


def test_the_template_asks_for_nothing_but_what_is_documented():
    template = (state.PROJECT / ingress.TEMPLATE).read_text()
    wanted = set(re.findall(r"\$\{([A-Z_]+)\}", template))
    upstreams = {
        f"{name}_UPSTREAM" for name in ("IDENTITY", "WEBHOOK_GATEWAY", "ORDERS", "INVENTORY", "SHIPPING", "CONSOLE")
    }
    places = {"INGRESS_LISTEN", "INGRESS_FOLDER", "INGRESS_ACCESS_LOG", "INGRESS_ERROR_LOG"}
    assert wanted == upstreams | places
