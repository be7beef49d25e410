"""The training: tasks, the trainer and the thin adapter that lets Ray run it."""
