"""InkML: two dialects, any namespace, numbers as the standard has them; what is broken has a code and a sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from copyist.engines.formula.latex import LatexProblem
from copyist.training.formula import inkml
from copyist.training.formula.examples import CODES, ExampleUnusable
from copyist.training.formula.ink import Ink, Written

TWO = [[[1, 2], [3, 4]], [[5, 6]]]

MATHWRITING = """<ink xmlns="http://www.w3.org/2003/InkML">
<annotation type="label">\\frac 1 2</annotation>
<annotation type="normalizedLabel">\\frac{1}{2}</annotation>
<annotation type="sampleId">0a1b</annotation>
<annotation type="splitTagOriginal">train</annotation>
<traceFormat><channel name="X" type="decimal"/><channel name="Y" type="decimal"/><channel name="T" type="decimal"/>
</traceFormat>
<trace id="0">1 2 0.0,3 4 12.5</trace><trace id="1">5.0 6e0 40.0</trace></ink>"""

CROHME = """<?xml version="1.0"?><ink xmlns="http://www.w3.org/2003/InkML">
<traceFormat><channel name="X" type="decimal"/><channel name="Y" type="decimal"/></traceFormat>
<annotation type="UI">2011_IVC_DEPT_F01_E00</annotation>
<annotation type="writer">w7</annotation>
<annotation type="truth">$\\frac{1}{2}$</annotation>
<annotationXML type="truth" encoding="Content-MathML"><math xmlns="http://www.w3.org/1998/Math/MathML"/></annotationXML>
<trace id="0">
1 2, 3 4
</trace>
<trace id="1"> 5 6, </trace>
<traceGroup xml:id="9"><annotation type="truth">Segmentation</annotation>
<traceGroup xml:id="10"><annotation type="truth">1</annotation><traceView traceDataRef="0"/></traceGroup>
</traceGroup></ink>"""


def saved(folder: Path, content: str | bytes) -> Path:
    path = folder / "sample.inkml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def strokes_of(folder: Path, traces: str, *, channels: str = "") -> list[object]:
    form = "".join(f'<channel name="{name}"/>' for name in channels.split())
    content = f"<ink><traceFormat>{form}</traceFormat>{traces}</ink>"
    return [stroke.tolist() for stroke in inkml.read(saved(folder, content)).ink.strokes]


@pytest.mark.parametrize(
    ("content", "latex", "writer"),
    [(MATHWRITING, r"\frac{1}{2}", ""), (CROHME, r"$\frac{1}{2}$", "w7")],
    ids=["mathwriting", "crohme"],
)
@pytest.mark.parametrize("namespace", ['xmlns="http://www.w3.org/2003/InkML"', 'xmlns="urn:another"', ""])
def test_both_dialects_are_read_in_any_namespace(
    content: str, latex: str, writer: str, namespace: str, tmp_path: Path
) -> None:
    path = saved(tmp_path, content.replace('xmlns="http://www.w3.org/2003/InkML"', namespace))
    written = inkml.read(path)
    assert [stroke.tolist() for stroke in written.ink.strokes] == TWO
    assert (written.latex, written.writer, written.name, written.notes) == (latex, writer, "sample", ())
    assert inkml.read_label(path) == latex


def test_a_label_is_taken_where_nobody_normalized_it(tmp_path: Path) -> None:
    bare = MATHWRITING.replace("normalizedLabel", "somethingElse")
    assert inkml.read(saved(tmp_path, bare)).latex == r"\frac 1 2"
    assert inkml.read(saved(tmp_path, "<ink><trace>1 2</trace></ink>")).latex == ""


@pytest.mark.parametrize(
    ("channels", "trace", "points"),
    [
        ("T X Y", "0 1 2,5 3 4", [[1, 2], [3, 4]]),
        ("Y X F", "2 1 99,4 3 98", [[1, 2], [3, 4]]),
        ("X Y", "1e2 -2.5E-1,+3 .5", [[100, -0.25], [3, 0.5]]),
        ("", "1 2 3 4,5 6 7 8", [[1, 2], [5, 6]]),
        ("X Y", "10-5,-3-.5", [[10, -5], [-3, -0.5]]),
        ("X Y", "1125 18432,'23'43,\"7\"-8,3-5", [[1125, 18432], [1148, 18475], [1178, 18510], [1211, 18540]]),
        ("X Y", "#a #1F,* !7", [[10, 31], [10, 7]]),
    ],
)
def test_points_are_read_as_the_standard_has_them(channels: str, trace: str, points: object, tmp_path: Path) -> None:
    assert strokes_of(tmp_path, f"<trace>{trace}</trace>", channels=channels) == [points]


def test_an_axis_may_point_the_other_way(tmp_path: Path) -> None:
    form = '<traceFormat><channel name="X"/><channel name="Y" orientation="-ve"/></traceFormat>'
    written = inkml.read(saved(tmp_path, f"<ink>{form}<trace>1 2,3 4</trace></ink>"))
    assert written.ink.strokes[0].tolist() == [[1, -2], [3, -4]]


def test_strokes_without_points_are_left_out_and_noted(tmp_path: Path) -> None:
    written = inkml.read(saved(tmp_path, "<ink><trace/><trace>1 2</trace><trace> , </trace></ink>"))
    assert len(written.ink.strokes) == 1
    assert written.notes == ("2 strokes without points were left out.",)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("<ink><trace>1 2</ink>", "broken_inkml"),
        (b"\x89PNG\r\n\x1a\n\x00", "broken_inkml"),
        ("", "broken_inkml"),
        ("<svg/>", "broken_inkml"),
        ('<?xml version="1.0" encoding="klingon"?><ink/>', "broken_inkml"),
        ('<!DOCTYPE ink [<!ENTITY a "1 2"><!ENTITY b "&a;,&a;">]><ink><trace>&b;</trace></ink>', "broken_inkml"),
        ('<!DOCTYPE ink [<!ENTITY a SYSTEM "file:///etc/hostname">]><ink><trace>&a;</trace></ink>', "broken_inkml"),
        ("<ink><trace>1</trace></ink>", "broken_inkml"),
        ("<ink><trace>one two</trace></ink>", "broken_inkml"),
        ("<ink><trace>nan 2</trace></ink>", "broken_inkml"),
        ("<ink><trace>1 1e999</trace></ink>", "broken_inkml"),
        ("<ink><trace>T F</trace></ink>", "broken_inkml"),
        (f"<ink><trace>#{'F' * 400} 1</trace></ink>", "broken_inkml"),
        ("<ink/>", "no_strokes"),
        ("<ink><trace/><trace> </trace></ink>", "no_strokes"),
    ],
)
def test_what_cannot_be_read_has_a_code_and_a_sentence(content: str | bytes, code: str, tmp_path: Path) -> None:
    with pytest.raises(ExampleUnusable, match=r"^sample\.inkml .*\.$") as caught:
        inkml.read(saved(tmp_path, content))
    assert caught.value.code == code
    assert code in CODES


@pytest.mark.parametrize("traces", ["<trace>1 2</trace>" * 4, "<trace>1 2,3 4</trace>" * 3])
def test_ink_without_end_is_refused(traces: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inkml, "MOST_STROKES", 3)
    monkeypatch.setattr(inkml, "MOST_POINTS", 5)
    with pytest.raises(ExampleUnusable, match="more than 3 strokes or 5 points"):
        inkml.read(saved(tmp_path, f"<ink>{traces}</ink>"))


def test_a_file_of_100_mb_is_refused_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "large.inkml"
    with path.open("wb") as file:
        file.write(b"<ink>")
        file.truncate(100_000_000)
    with pytest.raises(ExampleUnusable, match="larger than 8 MB"):
        inkml.read(path)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    strokes = (np.array([[0.125, 1e5], [-3.5, 2.25]]), np.array([[1 / 3, 2e-4]]))
    written = Written(Ink(strokes), r"a<b\frac12", name='7&"8"', writer="<hand>")
    path = tmp_path / "7.inkml"
    inkml.write(written, path)
    again = inkml.read(path)
    assert (again.latex, again.writer) == (r"a<b\frac{1}{2}", "<hand>")
    for stroke, other in zip(strokes, again.ink.strokes, strict=True):
        np.testing.assert_allclose(other, stroke, rtol=1e-6)
    with pytest.raises(LatexProblem):
        inkml.write(Written(Ink(strokes), "{"), path)
