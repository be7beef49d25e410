"""Exports loaded, and what they predict for files."""
