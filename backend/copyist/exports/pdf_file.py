"""Writing PDF objects one after the other, so that none has to be kept: a whole file, or an update behind another.

An update (ISO 32000-1, 7.5.6) leaves every byte of the file before it as it was: new and changed objects follow, and a
table that says where they are.
"""

from __future__ import annotations

import hashlib
import shutil
import struct
import tempfile
import zlib
from types import TracebackType
from typing import IO, Final, Self

PRODUCER: Final = "Copyist"


def reference(number: int) -> bytes:
    """How one object names another."""
    return b"%d 0 R" % number


def text_string(text: str) -> bytes:
    """Text for a dictionary, as UTF-16 in hexadecimal digits."""
    return b"<" + (b"\xfe\xff" + text.encode("utf-16-be", "replace")).hex().encode() + b">"


class PdfWriter:
    """Objects on their way into a PDF; use it as a context manager.

    They wait in a temporary file, so nothing is half written where one of them cannot be made. ``behind`` is the
    length in bytes of the file that is updated, ``first`` the first number that is free in it.
    """

    def __init__(self, *, behind: int = 0, first: int = 1) -> None:
        self._behind = behind
        self._next = first
        self._at = behind
        self._offsets: dict[int, int] = {}
        self._digest = hashlib.sha256()
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the writer
        # The four bytes tell whoever moves the file that it is no text (ISO 32000-1, 7.5.2).
        self._put(b"\n" if behind else b"%PDF-1.5\n%\xe2\xe3\xcf\xd3\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self._file.close()

    def reserve(self) -> int:
        """A number for an object that is written later."""
        self._next += 1
        return self._next - 1

    def put(self, body: bytes, number: int | None = None) -> int:
        """Write an object, in a new place or in the place of ``number``; gives its number."""
        number = self.reserve() if number is None else number
        self._offsets[number] = self._at
        self._put(b"%d 0 obj\n%b\nendobj\n" % (number, body))
        return number

    def put_stream(self, data: bytes, entries: bytes = b"", number: int | None = None) -> int:
        """Write a stream whose ``data`` is stored as it is; ``entries`` are those of its dictionary but ``/Length``."""
        return self.put(b"<<%b/Length %d>>stream\n%b\nendstream" % (entries, len(data), data), number)

    def put_deflated(self, data: bytes, entries: bytes = b"", number: int | None = None) -> int:
        """Write a stream, compressed."""
        return self.put_stream(zlib.compress(data), b"%b/Filter/FlateDecode" % entries, number)

    def finish(self, trailer: bytes, into: IO[bytes], *, previous: int | None = None, as_stream: bool = False) -> None:
        """Write the table of objects, then all of it into ``into``; the file that is updated must be there already.

        ``trailer`` is its entries but ``/Size`` and ``/Prev``. ``previous`` is where the table of the file before
        lies, ``as_stream`` whether that is a stream: the new one must be like it.
        """
        table = self._at
        if as_stream:
            self._offsets[self.reserve()] = table
        entries = b"%b/Size %d" % (trailer, self._next) + (b"" if previous is None else b"/Prev %d" % previous)
        if as_stream:
            self._put(self._table_stream(entries))
        else:
            self._put(b"xref\n%btrailer\n<<%b>>\n" % (self._table(), entries))
        self._put(b"startxref\n%d\n%%%%EOF\n" % table)
        self._file.seek(0)
        shutil.copyfileobj(self._file, into)

    def fingerprint(self) -> bytes:
        """Sixteen bytes that tell this file from others, in hexadecimal digits between brackets."""
        return b"<%b>" % self._digest.hexdigest()[:32].encode()

    def _put(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)
        self._at += len(data)

    def _runs(self) -> list[tuple[int, list[int]]]:
        """Offsets of objects whose numbers follow each other, under the first number."""
        runs: list[tuple[int, list[int]]] = []
        for number, offset in sorted(self._offsets.items()):
            if runs and runs[-1][0] + len(runs[-1][1]) == number:
                runs[-1][1].append(offset)
            else:
                runs.append((number, [offset]))
        return runs

    def _table(self) -> bytes:
        rows = [
            (first, b"".join(b"%010d 00000 n \n" % offset for offset in offsets)) for first, offsets in self._runs()
        ]
        if not self._behind:
            # A new file's table is one piece that begins with the free object 0.
            rows = [(0, b"0000000000 65535 f \n" + b"".join(run for _, run in rows))]
        return b"".join(b"%d %d\n%b" % (first, len(run) // 20, run) for first, run in rows)

    def _table_stream(self, entries: bytes) -> bytes:
        """The table as a stream (7.5.8): a byte for the kind, eight for the place and two for the generation."""
        runs = self._runs()
        index = b" ".join(b"%d %d" % (first, len(offsets)) for first, offsets in runs)
        rows = zlib.compress(b"".join(struct.pack(">BQH", 1, offset, 0) for _, offsets in runs for offset in offsets))
        described = b"/Type/XRef/W[1 8 2]/Index[%b]/Filter/FlateDecode/Length %d" % (index, len(rows))
        return b"%d 0 obj\n<<%b%b>>stream\n%b\nendstream\nendobj\n" % (self._next - 1, entries, described, rows)
