"""How long tests wait for what must come."""

PATIENCE = 240.0
"""Seconds that a test waits at most, for what takes a few on an idle machine: only a hang costs them."""
