"""Opening PDFs that are protected by a password, once, at the door.

The API turns a protected upload into an open one, keeps only that, and forgets the password: so none is ever stored,
queued or logged.
"""

from __future__ import annotations

from pathlib import Path

import pikepdf

from copyist.errors import DamagedFile, Encrypted, WrongPassword

_LABEL = "a PDF"


def is_locked(path: Path) -> bool:
    """Whether the PDF at ``path`` needs a password to be opened.

    One that is only protected against changes (an owner password) is not locked; nor is a file too damaged to say.
    """
    try:
        with pikepdf.open(path):
            return False
    except pikepdf.PasswordError:
        return True
    except Exception:
        # What a damaged file is gets decided where its pages are counted, with all means of repair at hand.
        return False


def decrypt(path_in: Path, path_out: Path, password: str) -> None:
    """Write the PDF at ``path_in`` to ``path_out`` without its protection; the same input gives the same bytes.

    Raises ``WrongPassword``, ``Encrypted`` where the password is empty and does not do, and ``DamagedFile``.
    """
    try:
        with pikepdf.open(path_in, password=password) as pdf:
            pdf.save(path_out, encryption=False, deterministic_id=True)
    except pikepdf.PasswordError as cause:
        raise (WrongPassword if password else Encrypted) from cause
    except Exception as cause:
        # qpdf reports damage as PdfError, RuntimeError, ValueError or, for deep nesting, RecursionError.
        raise DamagedFile(kind=_LABEL) from cause
