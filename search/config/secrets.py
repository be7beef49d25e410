"""Secrets in the addresses of `log:`, `notify:` and `storage:`, which neither files nor messages may have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from search.errors import KeyPath
from search.text import shown
from trainables.options import REFERENCE
from trainables.storage.address import without_password

_HOST_ALONE = re.compile("(json|xml|form)s?|r?syslog|dbus|qt|kde|glib|gnome|windows|macosx", re.IGNORECASE)
"""Schemes of Apprise after which a host stands, or nothing. After those of others the first word may be a
token, or, as ntfy's topic, all that one needs to know to read along."""
_TAKEN = "\0"
"""In the place of `${env:NAME}`, which cannot be in a text of a configuration."""


def has_secret(address: str) -> bool:
    """Whether an address may hold a user, password or options that are not taken from `${env:NAME}`.

    A user's name may stand before a password that is.
    """
    _, found, rest = REFERENCE.sub(_TAKEN, address).partition(":/")
    place, _, query = rest.removeprefix("/").partition("?")
    # After a third slash it is a file, in whose name there may be an @.
    user = "" if place.startswith("/") else place.rpartition("@")[0]
    return bool(found) and (_is_written(query) or _is_user(user))


def has_secret_of_people(address: str) -> bool:
    """The same for an address of Apprise, in which a token may stand anywhere but after `user:password@`."""
    scheme, found, rest = REFERENCE.sub(_TAKEN, address).partition("://")
    rest = rest if found else scheme
    place, _, query = rest.partition("?")
    user, _, _ = place.rpartition("@")
    if _is_written(query) or _is_user(user):
        return True
    is_host = "/" not in place.rstrip("/")
    if user or (_HOST_ALONE.fullmatch(scheme) and is_host):
        return False
    # The number of a chat, or of a channel, may stand beside what is taken.
    return _TAKEN not in place or re.search(r"[^\W\d]", place) is not None


def received(value: Any, path: KeyPath) -> str:
    """What messages show of a value at a path: a secret that it may hold is left out."""
    return shown(_hidden(value, path))


def without_secrets(text: str, path: KeyPath) -> str:
    """The same for a text of which a part is a value."""
    at = path[0] if path else ""
    if at == "notify" or (at in ("log", "storage") and re.search("[@?]", text)):
        return re.sub(r"(:/+).*", r"\1…", text, flags=re.DOTALL)
    return without_password(text)


def _is_user(user: str) -> bool:
    name, _, password = user.partition(":")
    return bool((password or name).strip(_TAKEN))


def _is_written(query: str) -> bool:
    options = (option.rpartition("=")[2] for option in query.split("&"))
    return any(option.strip(_TAKEN) for option in options)


def _hidden(value: Any, path: KeyPath) -> Any:
    if isinstance(value, Mapping):
        return {key: _hidden(item, path) for key, item in value.items()}
    if isinstance(value, list):
        return [_hidden(item, path) for item in value]
    return without_secrets(value, path) if isinstance(value, str) else value
