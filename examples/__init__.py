"""Training functions of at most 25 lines, each with a configuration that searches it."""
