"""The documentation as a site: the page of all keys, and the folder that zensical builds the site from."""
