"""Turns channel deliveries into orders and publishes their demand."""
