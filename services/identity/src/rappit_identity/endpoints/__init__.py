"""Endpoints: translate and call one use case."""
