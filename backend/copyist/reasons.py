"""Why something that we stand on does not answer, in words for the person who keeps it running.

Drivers put host names, paths and half a query into their messages. What is shown to others is one of the sentences
below or, for what nobody foresaw, the name of the error; the whole of it belongs in the log.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator

FULL = "its disk is full"

KNOWN = {
    r"password authentication failed|no password supplied": "it refuses the password; the one it was first made with "
    "counts, see docs/deploy.md",
    r"NOAUTH|WRONGPASS|AuthenticationError|invalid username-password|Authentication required": "it asks for another "
    "password; check REDIS_URL",
    r"InvalidAccessKeyId|SignatureDoesNotMatch|AccessDenied|\b403 Forbidden\b": "it refuses the access key",
    r"NoSuchBucket|bucket does not exist": "there is no such bucket",
    r'database ".*" does not exist|role ".*" does not exist': "there is no such database or user; check DATABASE_URL",
    r"No space left|disk is full|disk full|quota exceeded|could not extend|MISCONF|InsufficientStorage": FULL,
    r"used memory > 'maxmemory'": "its memory is full",
    r"Read-only file ?system|Permission denied|read-only transaction|read ?only (database|replica)": "it may not be "
    "written to",
    r"starting up|not yet accepting|in recovery mode|shutting down|(?-i:LOADING)": "it is just starting or stopping",
    r"too many clients|connection slots|max number of clients|QueuePool limit": "it has no connection free",
    r"Can't locate revision": "it was written by a newer version; update this one, see docs/deploy.md",
    r"Name or service not known|translate host name|name resolution|No address associated|dns error": "its name is not "
    "known; it may not be running",
    r"unable to open database file|Not a directory|File exists": "its file or folder cannot be opened",
    r"disk I/O error": "its disk cannot be used; it may be full",
    r"Connection refused|No such file or directory|No route to host|Network is unreachable": "nothing answers there; "
    "it may not be running",
    r"database is locked|deadlock detected": "somebody else keeps it busy",
    r"tim(ed?|e)[ -]?out": "it does not answer in time",
    r"closed the connection|connection (already |has been )?closed|terminating connection|connection reset|broken pipe|"
    r"EOF detected": "it broke the connection off",
}
"""Regular expression to sentence, the first that is found counts."""


def why(error: BaseException) -> str:
    """What stands in the way: a sentence without a full stop, without host, path or password."""
    return known(error) or f"it fails with {type([*_chain(error)][-1]).__name__}; the log says more"


def known(error: BaseException) -> str | None:
    """The same for what was foreseen: something around us is away, full or closed. ``None`` for any other error."""
    told = " ".join(f"{type(one).__name__} {one}" for one in _chain(error))
    return next((words for pattern, words in KNOWN.items() if re.search(pattern, told, re.IGNORECASE)), None)


def is_full(error: BaseException) -> bool:
    """Whether a disk without room is behind it."""
    return known(error) == FULL


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what caused it, down to the first cause."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__


class Trouble:
    """Tells the log of one thing that is away: a line for every reason, not for every try, and one when it is back."""

    def __init__(self, log: logging.Logger, what: str) -> None:
        self._log, self._what = log, what
        self.reason: str | None = None

    def met(self, error: BaseException) -> str:
        """It is away, for the reason that is given back."""
        reason = why(error)
        if reason != self.reason:
            first = str([*_chain(error)][-1]).partition("\n")[0]
            said = f" ({first})" if first else ""
            self._log.warning("%s does not answer: %s; trying again%s", self._what, reason, said)
        self.reason = reason
        return reason

    def over(self) -> None:
        """It is there."""
        if self.reason is not None:
            self._log.info("%s answers again", self._what)
        self.reason = None
