"""From languages as people name them to Tesseract's names: ``de``, ``deu``, ``zh-tw`` → ``deu``, ``chi_tra``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import langcodes

from copyist.errors import InvalidOption

# Where Tesseract's names are not ISO 639-3.
_OTHER_NAMES = {
    "zh": "chi_sim",
    "zho": "chi_sim",
    "zh-cn": "chi_sim",
    "zh-hans": "chi_sim",
    "zh-tw": "chi_tra",
    "zh-hant": "chi_tra",
    "ku": "kmr",
    "el": "ell",
}


def language_codes(languages: str | None, engines: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """``de,en`` or ``deu+eng`` as Tesseract's names; raises ``InvalidOption`` with those that a ready engine has."""
    if not languages:
        return []
    there = {name for facts in engines.values() if facts["ready"] for name in facts["languages"]}
    codes = []
    for word in languages.replace("+", ",").split(","):
        wish = word.strip()
        code = wish if wish in there else standard_code(wish)
        if code is None or (there and code not in there):
            raise InvalidOption(value=wish[:40], option="languages", allowed="some of: " + ", ".join(sorted(there)))
        codes.append(code)
    return list(dict.fromkeys(codes))


def standard_code(wish: str) -> str | None:
    """A language tag or code as Tesseract names its model; ``None`` for what is no language.

    Names that only Tesseract has, such as ``chi_sim`` or ``deu_latf``, stay as they are.
    """
    tag = wish.lower().replace("_", "-")
    if tag in _OTHER_NAMES:
        return _OTHER_NAMES[tag]
    if "_" in wish:
        return wish
    try:
        return langcodes.Language.get(tag).to_alpha3(variant="T")
    except (ValueError, LookupError):
        return None
