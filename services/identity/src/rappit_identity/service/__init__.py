"""The use cases: one function per business verb. Callers own the transaction, the clock and password hashing."""
