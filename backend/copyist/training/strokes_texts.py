"""Lines of plausible text to draw or to train with: words, made-up names, numbers, dates and punctuation."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

LONGEST = 28
"""Characters of the longest line."""
_VOCABULARY = """
the of and to in is was for on that with as by at from his her they we you are be this have not or had but one all
were when there can an your which their said if do will each about how up out them then she many some so these would
other into has more two like him see time could no make than first been its who now people my made over did down only
way find use may water long little very after words called just where most know get through back much before go good
new write our used me man too any day same right look think also around another came come work three word must because
does part even place well such here take why things help put years different away again off went old number great tell
men say small every found still between name should home big give air line set own under read last never us left end
along while might next sound below saw something thought both few those always looked show large often together asked
house world going want school important until form food keep children feet land side without boy once animals life
enough took four head above kind began almost live page got earth need far hand high year mother light parts country
father let night following picture being study second eyes soon times story boys since white days ever paper hard near
sentence better best across during today others however sure means knew try told young miles sun ways thing whole hear
example heard several change answer room sea against top turned learn point city play toward five using himself
usually money seen car morning given trees quickly jacket quiet zone fixed puzzle lazy expert vex quartz jump view wax
buzz judge mixed quay yellow garden harbour lantern window bridge letter meeting invoice parcel ticket supper kitchen
ledger doctor village river winter summer autumn spring station journey basket butter honey bread cheese onion pepper
salt copper silver
"""
_PROPER = """
Anna Bruno Clara David Elena Felix Greta Hugo Irene Jonas Karin Lukas Marta Nils Olga Paul Quentin Rosa Simon Theresa
Ulrich Vera Walter Xenia Yvonne Zoe Berlin Cambridge Dublin Exeter Fulham Genoa Hastings Ipswich Jena Kiel London
Malta Norwich Oxford Porto Quebec Rome Seville Turin Utrecht Vienna Warsaw York Zurich Monday Tuesday Wednesday
Thursday Friday Saturday Sunday Mrs Mr Dr Prof
"""
_YEAR = "January February March April May June July August September October November December"
_STARTS = "b c d f g h j k l m n p q r s t v w x y z br ch cl dr fl gr pl qu sh st th tr"
_STOPS = "b ck d g l m n nd ng p r rt s ss t x z"
_WORDS, _NAMES, _MONTHS = _VOCABULARY.split(), _PROPER.split(), _YEAR.split()
_ONSETS, _VOWELS, _CODAS = (
    [*_STARTS.split(), ""],
    ["a", "e", "i", "o", "u", "ai", "ea", "ie", "oo", "ou"],
    _STOPS.split(),
)
_CODAS += [""] * 3
_ENDINGS = (".", ".", ",", ";", ":", "", "", "", "")

_Dice = np.random.Generator


def texts(count: int, seed: int) -> list[str]:
    """``count`` lines of 2 to 5 words and at most ``LONGEST`` characters, the same ones for the same ``seed``.

    Every fifth word or so is made up of syllables, so that a model has to look instead of guessing.
    """
    dice = np.random.default_rng([seed, 1])
    return [_line(dice) for _ in range(count)]


def _line(dice: _Dice) -> str:
    wanted = int(dice.integers(2, 6))
    line = _part(dice)
    for _ in range(wanted - 1):
        longer = f"{line} {_part(dice)}"
        if len(longer) <= LONGEST:
            line = longer
    line = line if " " in line else f"{line[: LONGEST - 4]} {int(dice.integers(10, 100))}"
    if dice.random() < 0.3:
        line = line[0].upper() + line[1:]
    ending = _pick(dice, _ENDINGS)
    return line + ending if len(line + ending) <= LONGEST and line[-1].isalnum() else line


def _part(dice: _Dice) -> str:
    kinds, weights = _kinds()
    return kinds[int(dice.choice(len(kinds), p=weights))](dice)


@cache
def _kinds() -> tuple[tuple[Callable[[_Dice], str], ...], tuple[float, ...]]:
    return (_word, _syllables, _name, _number, _date, _joined), (0.50, 0.18, 0.12, 0.10, 0.06, 0.04)


def _word(dice: _Dice) -> str:
    return _pick(dice, _WORDS) + (_pick(dice, (",", ",", ";", "'s")) if dice.random() < 0.12 else "")


def _name(dice: _Dice) -> str:
    if dice.random() < 0.5:
        return _pick(dice, _NAMES)
    if dice.random() < 0.2:
        return f"{_pick(dice, tuple('ABCDEFGHIJKLMNOPQRSTUVWXYZ'))}."
    return _syllables(dice).capitalize()


def _syllables(dice: _Dice) -> str:
    parts = (_pick(dice, _ONSETS) + _pick(dice, _VOWELS) + _pick(dice, _CODAS) for _ in range(int(dice.integers(1, 4))))
    return "".join(parts)[:10]


def _number(dice: _Dice) -> str:
    digits = str(int(dice.integers(0, 10 ** int(dice.integers(1, 6)))))
    if dice.random() < 0.3:
        return f"{digits}{_pick(dice, ('.', ',', ':', '-'))}{int(dice.integers(10, 100))}"
    return digits


def _date(dice: _Dice) -> str:
    day, month, year = int(dice.integers(1, 32)), _pick(dice, _MONTHS), int(dice.integers(1850, 2031))
    if dice.random() < 0.4:
        return f"{day}.{int(dice.integers(1, 13))}.{year}"
    return f"{day} {month}" if dice.random() < 0.5 else f"{month} {year}"


def _joined(dice: _Dice) -> str:
    return f"{_pick(dice, _WORDS)}-{_pick(dice, _WORDS)}"


def _pick(dice: _Dice, among: list[str] | tuple[str, ...]) -> str:
    return among[int(dice.integers(len(among)))]
