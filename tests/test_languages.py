"""Languages as people name them."""

from __future__ import annotations

import pytest

from copyist.errors import InvalidOption
from copyist.languages import language_codes, standard_code
from copyist.settings import Settings

ENGINES = {
    "tesseract": {"ready": True, "languages": ["eng", "deu", "chi_sim", "chi_tra", "deu_latf"]},
    "other": {"ready": False, "languages": ["fra"]},
}


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        ("de", "deu"), ("ger", "deu"), ("deu", "deu"), ("en-GB", "eng"), ("zh", "chi_sim"), ("zh_TW", "chi_tra"),
        ("chi_sim", "chi_sim"), ("deu_latf", "deu_latf"), ("el", "ell"), ("?", None),
    ],
)  # fmt: skip
def test_names_become_tesseracts(wish: str, code: str | None) -> None:
    assert standard_code(wish) == code


def test_several_are_taken_once_each() -> None:
    assert language_codes("en, deu+de", ENGINES) == ["eng", "deu"]
    assert language_codes(None, ENGINES) == []


@pytest.mark.parametrize("wish", ["fr", "tlh", "!"])
def test_what_no_ready_engine_reads_is_refused_with_the_list(wish: str) -> None:
    with pytest.raises(InvalidOption, match="chi_sim, chi_tra, deu, deu_latf, eng"):
        language_codes(wish, ENGINES)


def test_the_setting_takes_the_same_names() -> None:
    assert Settings(_env_file=None, ocr_languages="en+de,chi_tra").ocr_languages == ("eng", "deu", "chi_tra")
