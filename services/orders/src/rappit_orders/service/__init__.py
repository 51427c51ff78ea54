"""Use cases: one function a business verb. Callers own the transaction, the clock and the ids."""
