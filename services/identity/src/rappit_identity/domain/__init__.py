"""Values and rules of accounts, in plain Python."""
