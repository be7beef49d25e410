"""The folder layouts of data sets that people have, one file each."""
