"""`python -m search` is `tune-search`."""

from search.cli.main import main

main()
