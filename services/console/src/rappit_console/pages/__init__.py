"""The pages: each reads from the APIs, or calls one verb of theirs, and decides nothing."""
