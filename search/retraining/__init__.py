"""The full-length training of an exported configuration: once, or on each fold of the data."""
