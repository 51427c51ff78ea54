"""Shipments, labels and carriers."""
