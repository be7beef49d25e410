"""Regression on the rows of tables: the task and its parts."""
