"""Carriers and channels that speak the real wire formats over real HTTP."""
