"""Generative adversarial networks: the task and its parts."""
