"""Dead letters: drained from the broker into the owner's table, searched there, and sent back to where they failed."""
