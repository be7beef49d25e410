"""Folds of a cross-validation: which samples belong together, and which of them are for validation."""
