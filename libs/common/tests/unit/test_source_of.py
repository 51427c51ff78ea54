import pytest
from rappit_common.limits import source_of


@pytest.mark.parametrize(
    ("client", "source"),
    [
        (("203.0.113.7", 50_000), "203.0.113.7"),
        (("::ffff:203.0.113.7", 50_000), "203.0.113.7"),
        (("2001:db8:1:2:3:4:5:6", 50_000), "2001:db8:1:2::/64"),
        (("testclient", 50_000), "testclient"),
        (None, "unknown"),
    ],
)
def test_a_site_counts_as_one_source(client, source):
    assert source_of({"type": "http", "client": client}) == source


def test_a_server_that_tells_no_client_counts_as_one_source():
    assert source_of({"type": "http"}) == "unknown"
