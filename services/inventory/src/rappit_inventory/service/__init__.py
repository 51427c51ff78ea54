"""Use cases, one function per business verb."""
