"""Frameworks' loops as training functions; each file imports only its library."""
