"""Rows of a CSV file, or of any table, as numbers for a model."""
