"""Semantic segmentation: data, joint augmentation, models, losses and metrics."""

from trainables.segmentation.options import SegmentationOptions
from trainables.segmentation.task import SegmentationTask

__all__ = ["SegmentationOptions", "SegmentationTask"]
