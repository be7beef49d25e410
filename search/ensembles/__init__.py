"""One model of several trials: the mean of their predictions, or of their weights."""
