"""Use cases: one function a business verb; the caller owns the transaction."""
