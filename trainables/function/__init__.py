"""A trial whose loop is the user's own: a function that is given the trial, and reports to it."""
