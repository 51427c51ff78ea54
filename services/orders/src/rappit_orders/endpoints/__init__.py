"""Endpoints: translate a request, call one use case."""
