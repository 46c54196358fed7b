"""What is left behind of an evaluation: ``report.json`` for programs, and a page with the worst cases for people.

The page is one file without scripts; pictures are in it. All that comes from data is escaped.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from typing import Any

import cv2
import numpy as np

from copyist.engines.formula.config import Frame
from copyist.engines.formula.latex import joined
from copyist.engines.formula.picture import Picture, PictureUnusable, prepare
from copyist.training.formula.evaluate import Answers, Case, Figures, by_length, figures

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #1c1c1c; }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; }
th, td { border-bottom: 1px solid #ddd; padding: .3rem .7rem; text-align: left; vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
code { font-size: 13px; overflow-wrap: anywhere; }
img { border: 1px solid #ddd; max-width: 32rem; }
.wrong { color: #a11; }
"""
_COLUMNS = (
    ("formulas", "formulas"),
    ("cer", "CER (tokens)"),
    ("exact", "exact"),
    ("within_one", "at most 1 error"),
    ("within_two", "at most 2 errors"),
    ("well_formed", "valid LaTeX"),
    ("confidence", "mean confidence"),
    ("calibration_error", "calibration error"),
)


def as_json(answers: Answers) -> dict[str, Any]:
    """The figures of ``answers`` as plain values."""
    return {
        **asdict(figures(answers.cases)),
        "by_length": [asdict(each) for each in by_length(answers.cases)],
        "left_out": answers.left_out_by_code,
        "seconds_per_formula": round(answers.seconds, 5),
    }


def counted(unusable: dict[str, tuple[str, str]]) -> str:
    """How often each code is there, with its first sentence."""
    first = dict(reversed(unusable.values()))
    counts = Counter(code for code, _ in unusable.values())
    return " ".join(f"{code}: {count} ({first[code]})" for code, count in counts.most_common())


def page(title: str, facts: Mapping[str, Any], answers: Answers, frame: Frame) -> str:
    """The page: ``facts`` about the model and the data, figures, by length, the worst cases as the model sees them."""
    everything = figures(answers.cases)
    parts = [
        f"<h1>{escape(title)}</h1>",
        _table(("", ""), [(escape(name), escape(str(value))) for name, value in facts.items()]),
        "<h2>All formulas</h2>",
        _figures([("all", everything)]),
        "<h2>By length</h2>",
        _figures([(_length(each), each) for each in by_length(answers.cases)]),
        _left_out(answers),
        f"<h2>The worst {len(answers.worst)}</h2>" if answers.worst else "<p>Everything was read without an error.</p>",
        *(_case(each, picture, frame) for each, picture in answers.worst),
    ]
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n' + "\n".join(parts) + "\n</body></html>\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells are HTML already."""
    top = "".join(f'<th class="number">{cell}</th>' if cell else "<th></th>" for cell in head) if any(head) else ""
    lines = [
        "".join(f"<td>{row[0]}</td>" + "".join(f'<td class="number">{cell}</td>' for cell in row[1:])) for row in rows
    ]
    return "<table>" + (f"<tr>{top}</tr>" if top else "") + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def _figures(rows: Sequence[tuple[str, Figures]]) -> str:
    cells = [[escape(name), *(_number(getattr(found, key)) for key, _ in _COLUMNS)] for name, found in rows]
    return _table(["", *(title for _, title in _COLUMNS)], cells)


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{100 * value:.1f} %"


def _length(found: Figures) -> str:
    return f"{found.least} to {found.most} tokens"


def _left_out(answers: Answers) -> str:
    if not answers.left_out:
        return ""
    first = {code: (name, reason) for name, (code, reason) in reversed(answers.left_out.items())}
    rows = [
        (escape(code), str(count), escape(first[code][0]), escape(first[code][1]))
        for code, count in answers.left_out_by_code.items()
    ]
    return "<h2>Left out</h2>" + _table(("", "formulas", "such as", "because"), rows)


def _case(each: Case, picture: Picture, frame: Frame) -> str:
    said = f"{each.errors} errors in {len(each.truth)} tokens, confidence {each.confidence:.3f}"
    rows = [
        ("is", f"<code>{escape(joined(each.truth))}</code>"),
        ("read", f'<code class="wrong">{escape(joined(each.read) or each.code or "nothing")}</code>'),
        ("", f"{escape(each.name)}: {said}"),
    ]
    lines = "".join(f"<tr><td>{name}</td><td>{cell}</td></tr>" for name, cell in rows)
    return f'<div><img alt="" src="{_png(picture, frame)}"><table>{lines}</table></div>'


def _png(picture: Picture, frame: Frame) -> str:
    """``picture`` as a model with this ``frame`` sees it, black on white, as an address with the picture in it."""
    try:
        seen = np.asarray(255 - prepare(picture, frame).pixels, np.uint8)
    except PictureUnusable:
        seen = np.full((32, 32), 200, np.uint8)
    return "data:image/png;base64," + base64.b64encode(cv2.imencode(".png", seen)[1].tobytes()).decode()
