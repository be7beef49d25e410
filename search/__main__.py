"""`python -m search` is `tune-search`."""

from search.cli import main

main()
