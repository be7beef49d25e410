"""What goes wrong with a storage: what may pass by itself, and what a person has to see to."""

from __future__ import annotations

import errno
from collections.abc import Iterator

_REFUSED = ("NoCredentials", "PartialCredentials", "CredentialRetrieval", "TokenRetrieval", "UnauthorizedSSO")
_REFUSED_TEXTS = (
    "AccessDenied",
    "Access Denied",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "Unable to locate credentials",
    "InvalidToken",
)
_MISCONFIGURED = (
    "ParamValidation",
    "ProfileNotFound",
    "Config",
    "InvalidRegion",
    "NoRegion",
    "UnknownRegion",
    "InvalidConfig",
    "InvalidEndpoint",
)
"""Of botocore: a name of a bucket that none can have, and what its tools' settings say."""
_OF_LIBRARIES = ("aiohttp", "botocore", "aiobotocore", "gcsfs", "google", "s3fs", "fsspec")


class StorageError(Exception):
    """A storage refuses, or has not answered for as long as one waits: it names the address and the way out.

    Not an OSError: nothing that it says is about a file of this machine.
    """


def is_refused(error: BaseException) -> bool:
    """Whether somebody's rights are what is missing, which no waiting mends."""
    return any(
        isinstance(each, PermissionError)
        or type(each).__name__.startswith(_REFUSED)
        or any(text in str(each) for text in _REFUSED_TEXTS)
        for each in _chain(error)
    )


def is_misconfigured(error: BaseException) -> bool:
    """Whether the address or the settings of the storage's tools are wrong, which no waiting mends."""
    of_settings = isinstance(error, ValueError) and str(error).startswith("Invalid endpoint")
    of_library = type(error).__module__.partition(".")[0] in _OF_LIBRARIES
    return of_settings or (of_library and type(error).__name__.startswith(_MISCONFIGURED))


def is_passing(error: BaseException) -> bool:
    """Whether it may be the network, or a server that has too much to do."""
    if isinstance(error, FileNotFoundError | FileExistsError | IsADirectoryError | NotADirectoryError):
        return False
    if isinstance(error, OSError) and error.errno in (errno.EINVAL, errno.ENAMETOOLONG):
        return False
    of_library = type(error).__module__.partition(".")[0] in _OF_LIBRARIES
    return isinstance(error, OSError | EOFError | TimeoutError) or of_library


def one_line(error: BaseException) -> str:
    """The kind of an error, and the first line of what it says, or two if that one announces the next."""
    text, *more = str(error).splitlines() or [""]
    text = f"{text} {more[0]}" if more and text.endswith(":") else text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__
