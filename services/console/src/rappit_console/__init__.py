"""The web console for merchants and operators."""
