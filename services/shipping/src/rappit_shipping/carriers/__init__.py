"""Carriers: adapters, transport, breakers and bulkheads."""
