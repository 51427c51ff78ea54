"""Organizations, users, API keys and tokens."""
