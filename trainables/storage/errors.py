"""What goes wrong with a storage: what may pass by itself, and what a person has to see to."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from trainables.storage.address import without_password

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


_OF_A_FOLDER = {
    errno.ENOSPC: "free some space there, and start the same again",
    errno.EDQUOT: "free some space there, and start the same again",
    errno.EACCES: "this user must be allowed to list, read, write and delete there",
    errno.EPERM: "this user must be allowed to list, read, write and delete there",
    errno.EROFS: "it must be mounted so that it can be written",
    errno.ENOTDIR: "all that is above it must be folders: give another address, or move that file away",
    errno.EEXIST: "all that is above it must be folders: give another address, or move that file away",
    errno.ENOENT: "its folder must be one that can be made: see that it is mounted, or give another address",
}
"""Of a `file://` address: the rule and the way out."""


class StorageError(Exception):
    """A storage refuses, or has not answered for as long as one waits: it names the address and the way out.

    Not an OSError: nothing that it says is about a file of this machine.
    """


def of_a_folder(error: OSError, address: str, what: str) -> StorageError:
    """What a `file://` address cannot do; the OSError is to be its cause, where a full disk is looked for."""
    said = f"{error.strerror}: {error.filename}" if error.strerror else one_line(error)
    rule = _OF_A_FOLDER.get(error.errno or 0, "see that it is mounted and whole, and start the same again")
    return StorageError(f"{address}: cannot {what}: {said}; {rule}")


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
    # A user in AWS_ENDPOINT_URL, which aiohttp sends as another Authorization than S3's.
    of_settings = of_settings or "Cannot combine AUTHORIZATION header" in str(error)
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
    """The kind of an error, and the first line of what it says, or two if that one announces the next.

    An address in it, such as that of the server, is without user and password.
    """
    text, *more = without_password(str(error)).splitlines() or [""]
    text = f"{text} {more[0]}" if more and text.endswith(":") else text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__
