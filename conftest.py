"""Fixtures shared by every test of the workspace."""

pytest_plugins = ["rappit_common.testing.plugin", "rappit_common.testing.browser"]
