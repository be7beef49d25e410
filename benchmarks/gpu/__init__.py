"""Checks of everything that only a GPU can show: `make gpu`. This file imports nothing: see `bare.py`."""
