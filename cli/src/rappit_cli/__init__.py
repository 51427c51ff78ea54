"""The rappit command for operators and merchants."""
