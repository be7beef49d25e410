"""What segmentation, classification and regression share: models, losses and metrics by their paths."""
