"""One trial in several processes: its samples shared out, its gradients and metrics added up."""
