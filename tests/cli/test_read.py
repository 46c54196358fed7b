"""``copyist read``: files in, text out, whatever engines and files do."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import IO

import psutil
import pytest
from typer.testing import CliRunner

from copyist.cli import app
from copyist.cli.reader import Failed, PageRead, ReadPage
from copyist.cli.reader_process import Desk
from copyist.exports.material import Material
from copyist.media import MediaKind
from tests.api.formula_engines import LATEX, NO_FORMULA, NO_INK, picture
from tests.cli.conftest import ENVIRONMENT, Run
from tests.exports.reading import valid
from tests.pipeline.drawn import mapped_pdf
from tests.servers import process_environment

LINE = "A line that was read\n"


def test_reads_to_standard_output_in_the_order_of_the_files(copyist: Run, own_samples: Path) -> None:
    done = copyist("read", own_samples / "multipage.tif", own_samples / "mixed.pdf", own_samples / "note.png")
    assert (done.returncode, done.stderr) == (0, "")
    pages = done.stdout.split("\f")
    assert [*pages[:3], *pages[4:]] == [LINE] * 5
    assert "Minutes of the rowing club" in pages[3]


def test_reads_with_tesseract(copyist: Run, own_samples: Path) -> None:
    done = copyist("read", own_samples / "letter.png", OCR_BACKEND="tesseract", OCR_FALLBACK="")
    assert done.returncode == 0
    assert "The old shelves\nwere sanded and oiled by volunteers" in done.stdout


@pytest.mark.parametrize("form", ["txt", "todo.json"])
def test_writes_a_file_for_each_input(copyist: Run, own_samples: Path, tmp_path: Path, form: str) -> None:
    done = copyist("read", own_samples / "note.png", own_samples / "scan.pdf", "-f", form, "-o", "out")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"note.{form}", f"scan.{form}"]
    if form.endswith("json"):
        json.loads((tmp_path / "out" / f"scan.{form}").read_text())


def test_names_that_would_clash_keep_their_ending(copyist: Run, own_samples: Path, tmp_path: Path) -> None:
    (tmp_path / "scan.png").write_bytes((own_samples / "note.png").read_bytes())
    assert copyist("read", "scan.png", own_samples / "scan.pdf", "-o", "both").returncode == 0
    assert sorted(path.name for path in (tmp_path / "both").iterdir()) == ["scan.pdf.txt", "scan.png.txt"]


def test_two_results_of_one_name_are_refused(copyist: Run, own_samples: Path, tmp_path: Path) -> None:
    (tmp_path / "note.png").write_bytes((own_samples / "note.png").read_bytes())
    done = copyist("read", "note.png", own_samples / "note.png", "-o", "out")
    assert done.returncode == 2
    assert "note.png.txt" in done.stderr


def test_a_result_is_only_overwritten_by_force(copyist: Run, own_samples: Path, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("mine")
    done = copyist("read", own_samples / "note.png", "-o", ".")
    assert done.returncode == 1
    assert "--force" in done.stderr
    assert (tmp_path / "note.txt").read_text() == "mine"
    assert copyist("read", own_samples / "note.png", "-o", ".", "--force").returncode == 0
    assert (tmp_path / "note.txt").read_text() == LINE


def test_bad_files_get_a_sentence_each_and_the_others_are_read(copyist: Run, own_samples: Path) -> None:
    bad = [
        "locked.pdf",
        "zero_pages.pdf",
        "truncated.pdf",
        "truncated.png",
        "empty.bin",
        "not_an_image.jpg",
        "bomb.png",
    ]
    files = [own_samples / name for name in bad]
    done = copyist("read", *files, "missing.png", own_samples, own_samples / "note.png")
    assert done.returncode == 1
    assert done.stdout == LINE
    told = done.stderr.splitlines()
    assert len(told) == len(bad) + 2
    for name in [*bad, "missing.png"]:
        assert sum(f"{name}: " in line for line in told) == 1
    assert "--password" in told[[f"{own_samples / 'locked.pdf'}: " in line for line in told].index(True)]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("form", ["txt", "md", "json", "todo.json"])
def test_characters_that_pdfs_break_are_read_whole_or_marked(copyist: Run, tmp_path: Path, form: str) -> None:
    halves = {"emoji": "D83DDE00", "letter": "D835DC65", "lone": "D800", "nul": "00410000"}
    text = "All is well with ~ here and will be for a long time"
    files = [mapped_pdf(tmp_path / f"{name}.pdf", text, code) for name, code in halves.items()]
    done = copyist("read", *files, "-f", form, "-o", "out")
    assert (done.returncode, done.stderr) == (0, "")
    written = [(tmp_path / "out" / f"{name}.{form}").read_text("utf-8") for name in halves]
    if form == "txt":
        characters = ("\U0001f600", "\U0001d465", "\ufffd", "A")
        assert written == [text.replace("~", character) + "\n" for character in characters]


def test_a_fault_with_one_result_is_one_line_and_the_others_are_printed(
    own_samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(material: Material, into: IO[bytes]) -> None:
        into.write(b"half of ")
        if len(material.numbers) == 3:
            raise RuntimeError("a fault of ours")
        into.write(material.document().pages[0].text.encode())

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("copyist.cli.read.find_export", lambda _: SimpleNamespace(write=write))
    for name, value in process_environment(**ENVIRONMENT).items():
        monkeypatch.setenv(name, value)
    files = [str(own_samples / name) for name in ("scan.pdf", "note.png")]
    for arguments, printed in (([], f"half of {LINE}"), (["-o", "."], "")):
        done = CliRunner().invoke(app, ["read", *files, *arguments])
        assert (done.exit_code, done.stdout) == (1, printed)
        assert done.stderr.splitlines() == [f"{files[0]}: Its result cannot be written as txt (RuntimeError)."]
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]


def test_real_readings_are_valid_in_every_format(copyist: Run, own_samples: Path, tmp_path: Path) -> None:
    files = [own_samples / name for name in ("letter.png", "turned.jpg", "mixed.pdf")]
    done = copyist("read", *files, "-f", "zip", "-o", "out", OCR_BACKEND="tesseract", OCR_FALLBACK="")
    assert done.returncode == 0, done.stderr
    for file in files:
        inside = zipfile.ZipFile(tmp_path / "out" / f"{file.stem}.zip")
        names = [name for name in inside.namelist() if name.endswith("page.xml")]
        several = file.name == "mixed.pdf"
        assert names == (["pages/0001.page.xml", "pages/0002.page.xml"] if several else [f"{file.stem}.page.xml"])
        assert not any("failed" in name for name in inside.namelist())
        roots = [valid(inside.read(name), "pagecontent.xsd") for name in names]
        alto = valid(inside.read(f"{file.stem}.alto.xml"), "alto-4-3.xsd")
        said = inside.read(f"{file.stem}.txt").decode()
        for word in alto.iterfind(".//{*}String"):
            assert word.get("CONTENT") in said
        assert sum(len(root.findall(".//{*}Word")) for root in roots) > 5
    sheet = valid(zipfile.ZipFile(tmp_path / "out" / "turned.zip").read("turned.page.xml"), "pagecontent.xsd")
    assert abs(float(sheet.find("{*}Page").get("orientation"))) > 45


def test_what_is_no_text_needs_a_place(copyist: Run, own_samples: Path) -> None:
    done = copyist("read", own_samples / "note.png", own_samples / "scan.pdf", "-f", "zip")
    assert (done.returncode, done.stdout) == (2, "")
    assert "-o" in done.stderr
    main, side = pty.openpty()
    command = [sys.executable, "-m", "copyist", "read", str(own_samples / "note.png"), "-f", "zip"]
    with os.fdopen(main), os.fdopen(side, "wb") as terminal:
        environment = process_environment(**ENVIRONMENT)
        shown = subprocess.run(command, env=environment, stdout=terminal, stderr=subprocess.PIPE, check=False)
    assert shown.returncode == 2
    assert b"-o" in shown.stderr


def test_one_file_that_is_no_text_goes_into_a_pipe(own_samples: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "copyist", "read", str(own_samples / "note.png"), "-f", "zip"]
    done = subprocess.run(
        command, env=process_environment(**ENVIRONMENT), cwd=tmp_path, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    inside = zipfile.ZipFile(io.BytesIO(done.stdout))
    assert inside.testzip() is None
    assert inside.read("note.txt").decode() == LINE


def test_a_format_that_does_not_fit_says_what_does(copyist: Run, own_samples: Path) -> None:
    done = copyist("read", own_samples / "scan.pdf", "-f", "page.xml")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("zip") == 1
    done = copyist("read", own_samples / "scan.pdf", "-f", "page.xml", "--pages", "2")
    assert "scan.pdf_page_2.png" in done.stdout


def test_a_fault_with_one_page_is_an_answer_and_the_process_goes_on(own_samples: Path) -> None:
    class Broken(Desk):
        def __init__(self) -> None:
            pass

        def _read(self, task: ReadPage) -> PageRead | Failed:
            raise RuntimeError("in /opt/secret")

    note = own_samples / "note.png"
    answer = Broken().do(ReadPage(note, note, MediaKind.PNG, 1))
    assert isinstance(answer, Failed)
    assert "Something went wrong (RuntimeError)" in answer.reason
    assert "secret" not in answer.reason


def test_a_password_opens_a_protected_pdf(copyist: Run, own_samples: Path) -> None:
    assert copyist("read", own_samples / "locked.pdf", "--password", "copyist").stdout == LINE
    done = copyist("read", own_samples / "locked.pdf", "--password", "nope")
    assert done.returncode == 1
    assert "password does not open" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--engine", "nix"], "tesseract"),
        (["--format", "exe"], "todo.json"),
        (["--pages", "3-1"], "1-3,5"),
        (["--mode", "nix"], "handwriting"),
        (["--text", "nix"], "force"),
        (["--languages", "klingon"], "languages"),
        (["--processes", "0"], "processes"),
    ],
)
def test_wrong_usage_names_what_there_is(copyist: Run, own_samples: Path, arguments: list[str], named: str) -> None:
    done = copyist("read", own_samples / "note.png", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert named in done.stderr
    assert "Traceback" not in done.stderr


def test_languages_may_be_written_as_people_do(copyist: Run, own_samples: Path) -> None:
    assert copyist("read", own_samples / "note.png", "--languages", "en", "--engine", "tesseract").returncode == 0


def test_reads_the_pages_asked_for(copyist: Run, own_samples: Path) -> None:
    done = copyist("read", own_samples / "scan.pdf", "--pages", "2-", "-f", "json")
    assert [page["number"] for page in json.loads(done.stdout)["pages"]] == [2, 3]
    done = copyist("read", own_samples / "scan.pdf", "--pages", "4")
    assert done.returncode == 1
    assert "document of 3 pages" in done.stderr


def test_an_engine_that_kills_its_process_is_left_out(copyist: Run, own_samples: Path) -> None:
    done = copyist("read", own_samples / "multipage.tif", "--engine", "crash")
    assert (done.returncode, done.stdout) == (0, "\f".join([LINE] * 3))
    assert len(re.findall(r"page \d: crash: It stopped its process", done.stderr)) == 3


def test_an_engine_that_hangs_is_left_out(copyist: Run, own_samples: Path) -> None:
    done = copyist("read", own_samples / "note.png", "--engine", "hang", ENGINE_TIMEOUT_S="1")
    assert (done.returncode, done.stdout) == (0, LINE)
    assert "hang: It did not finish within 1 s." in done.stderr


def test_pages_without_an_engine_that_survives_fail_and_the_rest_is_read(copyist: Run, own_samples: Path) -> None:
    done = copyist("read", own_samples / "mixed.pdf", OCR_BACKEND="crash", OCR_FALLBACK="crash")
    assert done.returncode == 1
    assert "rowing club" in done.stdout
    assert "page 2: No engine could read it (crash)." in done.stderr


def test_a_placeholder_is_never_silent(copyist: Run, own_samples: Path) -> None:
    done = copyist("read", own_samples / "multipage.tif", OCR_BACKEND="broken", OCR_FALLBACK="mock")
    assert done.returncode == 0
    assert "no engine read pages 1, 2, 3" in done.stderr
    assert "secret" not in done.stderr


def test_of_formulas_it_says_what_to_doubt(copyist: Run, tmp_path: Path) -> None:
    for name, content in (("good.png", picture()), ("tall.png", picture(50, 200)), ("square.png", picture(80, 80))):
        (tmp_path / name).write_bytes(content)
    engine = {"OCR_PLUGINS": "tests.api.formula_engines:Formulas", "OCR_BACKEND": "tesseract", "OCR_FALLBACK": "mock"}
    files = ("good.png", "tall.png", "square.png")
    done = copyist("read", *files, "--mode", "formula", "--format", "md", FORMULA_MODEL="none", **engine)
    assert (done.returncode, done.stdout.count(LATEX)) == (0, 2)
    # Two processes read, and either may be the first to tell.
    assert sorted(done.stderr.splitlines()) == [
        f"square.png, page 1: formulas: {NO_FORMULA}",
        f"tall.png, page 1: formulas: {NO_INK}",
    ]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_two_processes_read_and_both_end_with_the_command(
    how: signal.Signals, own_samples: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "copyist", "read", str(own_samples / "multipage.tif"), "--engine", "hang"]
    process = subprocess.Popen(command, cwd=tmp_path, env=process_environment(**ENVIRONMENT), stderr=subprocess.PIPE)
    until = time.monotonic() + 30
    readers: list[psutil.Process] = []
    while len(readers) < 2 and time.monotonic() < until:
        readers = psutil.Process(process.pid).children()
        time.sleep(0.05)
    assert len(readers) == 2
    os.kill(process.pid, how)
    _, told = process.communicate(timeout=30)
    assert process.returncode not in (0, None)
    assert b"Traceback" not in told
    assert psutil.wait_procs(readers, timeout=5)[1] == []
