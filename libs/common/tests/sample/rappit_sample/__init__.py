"""The smallest service: it notes what it is told. Tests of the common parts run on it."""
