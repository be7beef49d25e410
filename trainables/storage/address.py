"""Addresses of a storage: `s3://bucket/runs`, `gs://bucket/runs`, `file:///mnt/runs`."""

from __future__ import annotations

import re

EXTRAS = {"s3": "s3", "gs": "gcs"}
"""Schemes that need a package besides fsspec, and the extra of this program that has it."""
SCHEMES = ("file", *EXTRAS)
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)


class SecretError(ValueError):
    """About a value that must not be shown, since it may hold a password."""


def is_address(given: str) -> bool:
    """Whether it has a scheme, as `s3://bucket/runs` has; a path of this machine has none."""
    return _ADDRESS.match(given) is not None


def checked_address(given: str) -> str:
    """The address without a slash at its end.

    Raises:
        ValueError: it is none, or has something that does not belong there, such as a password.
    """
    found = _ADDRESS.match(given)
    # A password may be in what is no address, too.
    fault, received = (SecretError, "") if "@" in given else (ValueError, f", not {given!r}")
    if found is None:
        raise fault(f"must be an address such as s3://bucket/runs or file:///mnt/runs{received}")
    scheme, rest = found[1].lower(), found[2].rstrip("/")
    first, _, below = rest.partition("/")
    if scheme not in SCHEMES:
        raise fault(f"must begin with {', '.join(f'{name}://' for name in SCHEMES)}, not {scheme}://")
    if "@" in first or "?" in rest or "#" in rest:
        raise SecretError(
            "must be the place alone, without user, password or options: those are read from where the "
            "storage's own tools have them, such as AWS_ACCESS_KEY_ID and AWS_ENDPOINT_URL"
        )
    if scheme == "file" and first:
        raise ValueError(f"must have three slashes, as file:///{rest}: the path begins with one")
    if not (below if scheme == "file" else first):
        raise ValueError("must name a folder" if scheme == "file" else "must name a bucket")
    if any(part in ("", ".", "..") for part in (below if scheme == "file" else rest).split("/")):
        raise fault(f"must be without empty parts, . and .. in its path{received}")
    return f"{scheme}://{rest}"


def without_password(text: str) -> str:
    """A text with addresses, each without user and password."""
    # A password may have an @ itself: the last one before the path ends it. A slash may be missing.
    return re.sub(r"(?<=[A-Za-z0-9+.-])(:/{1,2})[^/\s]*@", r"\1", text)


def below(address: str, *parts: str) -> str:
    """The address of something below an address."""
    return "/".join([address, *(part for part in parts if part)])


def split_address(address: str) -> tuple[str, str]:
    """What an address lies in, and its name there.

    Raises:
        ValueError: it is no address, or that of a whole bucket.
    """
    checked = checked_address(address)
    parent, _, name = checked.rpartition("/")
    if parent.endswith("/") or not name:
        raise ValueError(f"must name a run in a storage, as s3://bucket/runs/seg, not {checked!r}")
    return parent, name
