"""What leaves a search: the files of an export, each evaluated after it was written.

Not named `export`, as that is the function of `search` that writes them.
"""
