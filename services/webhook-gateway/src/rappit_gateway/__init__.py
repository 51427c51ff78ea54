"""Verifies channel webhooks, stores them durably and publishes them."""
