"""Orders as values and rules: plain Python, without a clock, a database or a network."""
