"""The tokens that a model can write, and their numbers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

FILE = "vocabulary.json"
PAD, START, END, UNKNOWN = range(4)
SPECIAL = ("<pad>", "<start>", "<end>", "<unknown>")


@dataclass(frozen=True)
class Vocabulary:
    """Tokens of LaTeX (``latex.tokens``) in the order of their numbers, from ``len(SPECIAL)`` on."""

    words: tuple[str, ...]

    @classmethod
    def of(cls, labels: Iterable[Sequence[str]], *, at_least: int = 1) -> Vocabulary:
        """All tokens that stand ``at_least`` times in ``labels``, sorted; to be made of what is trained on only."""
        counts = Counter(token for label in labels for token in label)
        return cls(tuple(sorted(token for token, count in counts.items() if count >= at_least)))

    def __len__(self) -> int:
        return len(SPECIAL) + len(self.words)

    def ids(self, label: Sequence[str]) -> list[int]:
        """The numbers of ``label``, without start and end; ``UNKNOWN`` for what is not known."""
        return [self._numbers.get(token, UNKNOWN) for token in label]

    def unknown(self, label: Iterable[str]) -> list[str]:
        """Which tokens of ``label`` are not known, each once, in order."""
        return list(dict.fromkeys(token for token in label if token not in self._numbers))

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """The tokens of ``ids``; special ones are left out."""
        return [self.words[number - len(SPECIAL)] for number in ids if number >= len(SPECIAL)]

    def save(self, folder: Path) -> None:
        """Write ``vocabulary.json``."""
        text = json.dumps({"tokens": self.words}, ensure_ascii=False, indent=0)
        (folder / FILE).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Vocabulary:
        """From ``vocabulary.json``; raises ``OSError``, and ``ValueError`` for what is no list of different tokens."""
        content = json.loads((folder / FILE).read_text(encoding="utf-8"))
        words = content.get("tokens") if isinstance(content, dict) else None
        if not isinstance(words, list) or not all(isinstance(word, str) and word for word in words):
            raise ValueError(f"{FILE} holds no list of tokens")
        if len(set(words)) < len(words):
            raise ValueError(f"{FILE} holds a token twice")
        return cls(tuple(words))

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words, start=len(SPECIAL))}
