"""Consumers: translate a message, claim it, call one use case."""
