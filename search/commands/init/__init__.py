"""`tune-search init`: a configuration for the data that lie in a folder."""
