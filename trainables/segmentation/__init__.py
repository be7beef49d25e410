"""Semantic segmentation: data, joint augmentation, models, losses and metrics."""
