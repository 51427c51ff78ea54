"""A private stack of real servers and every service, with no Docker needed."""
