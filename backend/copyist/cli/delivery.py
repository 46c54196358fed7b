"""Where results go: a file for each input in a folder, or standard output in the order of the inputs."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Annotated

import typer

from copyist.errors import ConfigurationError, InvalidOption
from copyist.exports import EXPORTS, find_export


def _known_format(name: str) -> str:
    try:
        return find_export(name).extension
    except InvalidOption as error:
        raise typer.BadParameter(error.detail) from error


Format = Annotated[str, typer.Option("--format", "-f", help=f"One of: {', '.join(EXPORTS)}.", callback=_known_format)]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="Write a file for each input into this folder.", file_okay=False)
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite results that are already there.")]

_BETWEEN = {"txt": b"\f"}
"""What stands between two results on standard output, where a line's end is not enough: text has pages."""
_HELD_BYTES = 1 << 20
"""A result that waits for its turn on standard output waits on the disk if it is larger."""

Content = bytes | Callable[[IO[bytes]], None]
"""A result, or what writes it."""


class Delivery:
    """Where the results of ``files`` go. ``folder`` is ``None`` for standard output."""

    def __init__(self, files: Sequence[Path], extension: str, folder: Path | None, *, force: bool) -> None:
        """Raises ``ConfigurationError`` if two results would be the same file, the folder cannot be made, or what is
        no text would go to a terminal or behind something else that is none.
        """
        self._files, self._extension, self.folder, self._force = list(files), extension, folder, force
        self._is_text = find_export(extension).is_text
        if folder is None and not self._is_text and (sys.stdout.isatty() or len(self._files) > 1):
            raise ConfigurationError(problem=f"A {extension} file is no text. Name a folder for the results with -o.")
        self._names = _names(files, extension) if folder is not None else {}
        self._held: dict[Path, IO[bytes] | None] = {}
        self._printed = False
        if folder is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                problem = f'"{folder}" cannot be used as a folder ({error.strerror}).'
                raise ConfigurationError(problem=problem) from error

    def in_the_way(self, file: Path) -> Path | None:
        """The file that is already where this one's result would go, unless it may be overwritten."""
        target = self._target(file)
        return target if target is not None and target.exists() and not self._force else None

    def _target(self, file: Path) -> Path | None:
        return self.folder / self._names[file] if self.folder is not None else None

    def give(self, file: Path, content: Content | None) -> None:
        """Take the result of a file, ``None`` where there is none.

        Raises ``OSError`` if it cannot be written, and whatever ``content`` raises; nothing of it is kept then.
        """
        target = self._target(file)
        if target is not None:
            if content is not None:
                _write(target, content)
            return
        self._held[file] = _hold(content) if content is not None else None
        # A progress bar on the same terminal would be torn apart: then everything is printed at the end.
        if not sys.stdout.isatty():
            self.flush()

    def flush(self) -> None:
        """Print what is next in order."""
        while self._files and self._files[0] in self._held:
            content = self._held.pop(self._files.pop(0))
            if content is not None:
                with content:
                    self._print(content)

    def _print(self, content: IO[bytes]) -> None:
        into = sys.stdout.buffer
        if self._printed:
            into.write(_BETWEEN.get(self._extension, b""))
        shutil.copyfileobj(content, into)
        if self._is_text and not _ends_in_newline(content):
            into.write(b"\n")
        into.flush()
        self._printed = True


def _names(files: Sequence[Path], extension: str) -> dict[Path, str]:
    """``scan.txt`` for ``scan.pdf``; ``scan.pdf.txt`` where there is a ``scan.png`` as well."""
    stems = Counter(file.stem for file in files)
    names = {file: f"{file.stem if stems[file.stem] == 1 else file.name}.{extension}" for file in files}
    for name, count in Counter(names.values()).items():
        if count > 1:
            problem = f'The results of {count} files would all be "{name}". Write them to different folders.'
            raise ConfigurationError(problem=problem)
    return names


def _write(target: Path, content: Content) -> None:
    """Write it whole or not at all."""
    part = target.with_name(f".{target.name}.part")
    # A link that somebody else left under this name would lead the result over any file of ours.
    part.unlink(missing_ok=True)
    try:
        with part.open("xb") as into:
            _fill(into, content)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _hold(content: Content) -> IO[bytes]:
    held = tempfile.SpooledTemporaryFile(max_size=_HELD_BYTES)  # noqa: SIM115 - it is closed when it was printed
    try:
        _fill(held, content)
    except BaseException:
        held.close()
        raise
    held.seek(0)
    return held


def _fill(into: IO[bytes], content: Content) -> None:
    if callable(content):
        content(into)
    else:
        into.write(content)


def _ends_in_newline(content: IO[bytes]) -> bool:
    """Whether a file ends in a newline; one without anything in it needs none."""
    size = content.seek(0, 2)
    content.seek(max(size - 1, 0))
    return content.read() in (b"", b"\n")
