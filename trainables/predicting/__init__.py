"""Exported models that predict: of torch, NumPy and Pillow alone."""
