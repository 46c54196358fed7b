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

_OF_A_SCRIPT = {
    "cyrillic_g2.pth": "cyrillic",
    "arabic.pth": "arabic",
    "devanagari.pth": "devanagari",
    "bengali.pth": "bengali",
    "zh_sim_g2.pth": "chi-sim",
    "chinese.pth": "chi-tra",
    "japanese_g2.pth": "japanese",
    "korean_g2.pth": "korean",
    "thai.pth": "thai",
    "tamil.pth": "tamil",
    "telugu.pth": "telugu",
    "kannada.pth": "kannada",
}
ENTRIES = {
    **dict.fromkeys((DETECTOR, ENGLISH, "latin_g2.pth"), "easyocr"),
    **{file: f"easyocr-{script}" for file, script in _OF_A_SCRIPT.items()},
}
"""Which entry of the weights' manifest brings which file."""


@dataclass(frozen=True)
class Network:
    """A network of one's own: its ``name``, folder, languages in EasyOCR's names, and whether it finds text itself."""

    name: str
    folder: Path
    languages: tuple[str, ...]
    finds_text: bool

    @property
    def weights(self) -> Path:
        """The file of its tensors."""
        return self.folder / f"{self.name}.pth"


def model_file(languages: Sequence[str]) -> str | None:
    """The one model that reads all of ``languages`` (Tesseract's names) together; ``None`` when there is none."""
    others = set(languages) - {"eng"}
    if not others:
        return ENGLISH
    return next((file for file, known in MODELS.items() if others <= known.keys()), None)


def networks_in(folder: Path) -> tuple[Network, ...]:
    """The networks of one's own in ``folder`` with all three files, by name; without languages where it names none."""
    found = []
    for described in sorted(folder.glob("*.yaml")):
        code, weights = described.with_suffix(".py"), described.with_suffix(".pth")
        if code.is_file() and weights.is_file():
            finds_text = "def find_text(" in code.read_text(encoding="utf-8", errors="replace")
            found.append(Network(described.stem, folder, _languages(described), finds_text))
    return tuple(found)


def _languages(described: Path) -> tuple[str, ...]:
    import yaml

    try:
        content = yaml.safe_load(described.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        return ()
    languages = content.get("lang_list") if isinstance(content, dict) else None
    return tuple(str(language) for language in languages) if isinstance(languages, list) else ()
