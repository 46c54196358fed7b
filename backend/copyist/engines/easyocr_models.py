"""Which of EasyOCR's models reads which language, and which files a person's own network consists of.

EasyOCR loads one recognition model at a time: languages that share one can be read together, English with any.
A network of one's own lies in ``weights/easyocr/custom`` as NAME.yaml (``lang_list``, ``character_list``, ``imgH``,
``network_params``), NAME.py (a class ``Model``) and NAME.pth. NAME.py may bring its own detector, a function
``find_text(grey)`` from a grey ``uint8`` image to a list of boxes ``[left, right, top, bottom]`` in pixels; then the
usual one is not needed. These files are code and run as such: only the server's owner can put them there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DETECTOR = "craft_mlt_25k.pth"
ENGLISH = "english_g2.pth"
_LATIN = (
    "afr:af aze:az bos:bs ces:cs cym:cy dan:da deu:de spa:es est:et fra:fr gle:ga hrv:hr hun:hu ind:id isl:is ita:it "
    "kmr:ku lat:la lit:lt lav:lv mri:mi msa:ms mlt:mt nld:nl nor:no oci:oc pol:pl por:pt ron:ro srp_latn:rs_latin "
    "slk:sk slv:sl sqi:sq swe:sv swa:sw fil:tl tur:tr uzb:uz vie:vi"
)
_PAIRS = {
    ENGLISH: "eng:en",
    "latin_g2.pth": _LATIN,
    "cyrillic_g2.pth": "rus:ru srp:rs_cyrillic bel:be bul:bg ukr:uk mon:mn",
    "arabic.pth": "ara:ar fas:fa uig:ug urd:ur",
    "devanagari.pth": "hin:hi mar:mr nep:ne san:sa",
    "bengali.pth": "ben:bn asm:as",
    "zh_sim_g2.pth": "chi_sim:ch_sim",
    "chinese.pth": "chi_tra:ch_tra",
    "japanese_g2.pth": "jpn:ja",
    "korean_g2.pth": "kor:ko",
    "thai.pth": "tha:th",
    "tamil.pth": "tam:ta",
    "telugu.pth": "tel:te",
    "kannada.pth": "kan:kn",
}
MODELS: dict[str, dict[str, str]] = {
    file: dict(pair.split(":", 1) for pair in pairs.split()) for file, pairs in _PAIRS.items()
}
"""File of each recognition model: Tesseract's name of a language to EasyOCR's."""
CODES = {tesseract: own for languages in MODELS.values() for tesseract, own in languages.items()}


@dataclass(frozen=True)
class Network:
    """A network of one's own: its ``name``, folder, languages in EasyOCR's names, and whether it finds text itself."""

    name: str
    folder: Path
    languages: tuple[str, ...]
    finds_text: bool


def model_file(languages: Sequence[str]) -> str | None:
    """The one model that reads all of ``languages`` (Tesseract's names) together; ``None`` when there is none."""
    others = set(languages) - {"eng"}
    if not others:
        return ENGLISH
    return next((file for file, known in MODELS.items() if others <= known.keys()), None)


def networks_in(folder: Path) -> tuple[Network, ...]:
    """The complete networks of one's own in ``folder``, by name."""
    found = []
    for described in sorted(folder.glob("*.yaml")):
        code, weights = described.with_suffix(".py"), described.with_suffix(".pth")
        if code.is_file() and weights.is_file():
            languages = tuple(str(language) for language in _yaml(described).get("lang_list", ()))
            finds_text = "def find_text(" in code.read_text(encoding="utf-8")
            found.append(Network(described.stem, folder, languages, finds_text))
    return tuple(found)


def _yaml(path: Path) -> dict[str, Any]:
    import yaml

    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content if isinstance(content, dict) else {}
