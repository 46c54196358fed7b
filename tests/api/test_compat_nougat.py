"""``POST /ocr`` and ``GET /health`` as the Nougat sidecar's clients use them, with a worker in this very process."""

from __future__ import annotations

import base64
import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from PIL import Image

from copyist import fetch
from copyist.api.compat.nougat import nougat_flavour
from copyist.document import Page as Content
from copyist.engines.base import PageImage
from copyist.errors import FetchFailed
from tests.api.one_process import OneProcess, Start, assert_cancelled_when_the_client_hangs_up, serving
from tests.api.test_refusals import assert_problem
from tests.engines.drawing import drawn
from tests.engines.tiny_nougat import PAPER, write_reading_nougat
from tests.faulty_engines import Faulty


class Paper(Faulty):
    """Stands in for Nougat where it does not matter what is read."""

    name = "nougat"
    modes = frozenset({"paper"})  # type: ignore[arg-type]


class Narrow(Paper):
    """Reads no page that is wider than high."""

    def page(self, image: PageImage) -> Content:
        if image.width > 3 * image.height:
            raise RuntimeError("too wide")
        return super().page(image)


@pytest.fixture
def serve(redis_url: str, sqlite_url: str, tmp_path: Path) -> Iterator[Start]:
    with serving(
        tmp_path,
        redis_url,
        database_url=sqlite_url,
        ocr_backend="tesseract",
        ocr_plugins=("tests.api.test_compat_nougat:Paper",),
        fetch_folders=(str(tmp_path),),
    ) as start:
        yield start


def ocr(service: OneProcess, filename: str, **wishes: Any) -> httpx.Response:
    return service("POST", "/ocr", json={"filename": filename} | wishes)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "a paper.png"
    Image.fromarray(drawn("A page of a paper")).save(path)
    return path


def as_data(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def test_a_paper_is_read_by_nougat_and_comes_as_nougat_writes_it(serve: Start, page: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    write_reading_nougat(tmp_path / "weights" / "nougat-small")
    service = serve(
        ocr_plugins=("copyist.engines.nougat:Nougat",),
        weights_dir=tmp_path / "weights",
        ocr_fallback=("tesseract", "mock"),
    )
    wishes = {"model": "facebook/nougat-small", "temperature": 0.0, "top_p": 0.0, "repetition_penalty": None}
    answer = ocr(service, page.as_uri(), **wishes)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert answer.text == PAPER.replace("\\end{table}\n", "\\end{table}\n\n") + "\n"
    assert answer.headers["X-Copyist-Engine"] == "nougat"
    assert "X-Copyist-Warning" not in answer.headers
    job = service("GET", f"/api/jobs/{answer.headers['X-Copyist-Job']}").json()
    assert job["filename"] == "a paper.png"
    assert (job["options"]["mode"], job["options"]["engine"]) == ("paper", "nougat")
    assert (job["options"]["priority"], job["options"]["decoding"]) == (
        "interactive",
        {"model": "facebook/nougat-small"},
    )
    markdown = service("GET", f"/api/jobs/{job['id']}/result.md").text
    assert "$w_{i}<n$" in markdown and "\n$$\n\\sum" in markdown
    penalised = ocr(service, as_data(page), temperature=0.0, repetition_penalty=10.0)
    assert penalised.status_code == 200
    absent = ocr(service, page.as_uri(), model="facebook/nougat-large")
    assert absent.headers["X-Copyist-Engine"] == "tesseract"
    assert "not by Nougat" in absent.headers["X-Copyist-Warning"]


def test_all_pages_of_a_pdf_come_as_one_text(serve: Start, tmp_path: Path) -> None:
    pages = [Image.fromarray(drawn(f"page {number}")) for number in (1, 2, 3)]
    pages[0].save(tmp_path / "paper.pdf", save_all=True, append_images=pages[1:])
    answer = ocr(serve(), (tmp_path / "paper.pdf").as_uri())
    assert answer.text == "\n\n".join(["A line that was read"] * 3) + "\n"


def test_where_nougat_is_missing_another_engine_reads_and_the_header_says_so(serve: Start, page: Path) -> None:
    answer = ocr(serve(ocr_plugins=()), as_data(page), model="facebook/nougat-base")
    assert (answer.status_code, answer.headers["X-Copyist-Engine"]) == (200, "tesseract")
    assert "paper" in answer.text


def test_a_placeholder_is_no_text(serve: Start, page: Path) -> None:
    answer = ocr(serve(ocr_plugins=(), ocr_backend="mock"), as_data(page))
    assert_problem(answer, 503, "only_placeholder")
    assert answer.headers["Location"] == f"/api/jobs/{answer.headers['X-Copyist-Job']}"
    assert answer.headers["X-Copyist-Engine"] == "mock"


def test_a_job_that_takes_long_goes_on_and_says_where(serve: Start, page: Path) -> None:
    service = serve(works=False, wait_max_s=0.3)
    began = time.monotonic()
    answer = ocr(service, as_data(page))
    assert time.monotonic() - began < 2
    assert_problem(answer, 503, "still_reading")
    assert answer.headers["Location"] in answer.json()["detail"]
    assert answer.headers["Retry-After"].isdigit()
    assert service("GET", answer.headers["Location"]).json()["status"] == "pending"


def test_who_hangs_up_cancels_the_job(serve: Start, page: Path) -> None:
    plugins = ("tests.api.formula_engines:SlowReader",)
    service = serve(ocr_plugins=plugins, ocr_backend="auto", ocr_fallback=("slow-reader", "mock"))
    assert_cancelled_when_the_client_hangs_up(service, "/ocr", {"filename": as_data(page)})


def test_a_job_that_fails_is_told_in_its_own_words(serve: Start, own_samples: Path, tmp_path: Path) -> None:
    (tmp_path / "locked.pdf").write_bytes((own_samples / "locked.pdf").read_bytes())
    answer = ocr(serve(), (tmp_path / "locked.pdf").as_uri())
    assert_problem(answer, 422, "encrypted")
    assert answer.json()["detail"].endswith("password.")


@pytest.mark.parametrize(
    "wishes",
    [
        {"temperature": -0.1},
        {"temperature": 2.1},
        {"top_p": 1.1},
        {"top_p": "much"},
        {"repetition_penalty": 0},
        {"model": "x" * 201},
        {"model": 7},
    ],
)
def test_parameters_that_make_no_sense_are_named(serve: Start, page: Path, wishes: dict[str, Any]) -> None:
    answer = ocr(serve(works=False), as_data(page), **wishes)
    assert_problem(answer, 422, "invalid_request")
    (error,) = answer.json()["errors"]
    assert error["pointer"].startswith(f"/body/{next(iter(wishes))}")


def test_a_page_that_failed_is_told_beside_the_text_of_the_others(serve: Start, tmp_path: Path) -> None:
    pages = [Image.fromarray(drawn("a page", width=width)) for width in (300, 900)]
    pages[0].save(tmp_path / "two.pdf", save_all=True, append_images=pages[1:])
    plugins = ("tests.api.test_compat_nougat:Narrow",)
    answer = ocr(serve(ocr_plugins=plugins, ocr_fallback=("nougat",)), (tmp_path / "two.pdf").as_uri())
    assert (answer.status_code, answer.text) == (200, "A line that was read\n")
    assert "1 of 2 pages could not be read" in answer.headers["X-Copyist-Warning"]


def test_a_body_that_is_no_wish_is_refused(serve: Start) -> None:
    service = serve(works=False)
    bodies: list[dict[str, Any]] = [
        {"json": {}},
        {"json": []},
        {"content": b"{"},
        {"data": {"filename": "data:,x"}},
        {},
    ]
    for content in bodies:
        assert_problem(service("POST", "/ocr", **content), 422, "invalid_request")


def test_files_and_addresses_are_only_fetched_where_that_is_allowed(serve: Start, page: Path, tmp_path: Path) -> None:
    service = serve(works=False, fetch_folders=(str(tmp_path / "other"),), fetch_urls=True)
    assert_problem(ocr(service, page.as_uri()), 403, "folder_refused")
    assert_problem(ocr(service, "http://127.0.0.1/a.png"), 403, "address_refused")
    assert_problem(ocr(service, "a.png"), 422, "invalid_source")
    assert_problem(ocr(service, "data:;base64,"), 400, "empty_upload")
    assert_problem(ocr(service, "data:,hello"), 415, "unsupported_media")


def test_fetching_is_off_by_default(serve: Start, page: Path) -> None:
    service = serve(works=False, fetch_folders=())
    refused = ocr(service, page.as_uri())
    assert_problem(refused, 403, "fetching_off")
    assert "FETCH_FOLDERS" in refused.json()["detail"]
    assert_problem(ocr(service, "https://example.org/a.png"), 403, "fetching_off")


def test_what_is_too_large_is_refused(serve: Start, tmp_path: Path) -> None:
    service = serve(works=False, max_bytes=10_000)
    noise = np.random.default_rng(7).integers(0, 255, (200, 200), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(noise).save(content, "PNG")
    (tmp_path / "noise.png").write_bytes(content.getvalue())
    assert_problem(ocr(service, (tmp_path / "noise.png").as_uri()), 413, "file_too_large")
    assert_problem(ocr(service, as_data(tmp_path / "noise.png")), 413, "file_too_large")


@pytest.mark.parametrize("accept", ["text/plain", "text/plain, */*;q=0.1", "*/*"])
def test_health_is_a_word_for_a_text_client(serve: Start, accept: str) -> None:
    answer = serve(works=False)("GET", "/health", headers={"Accept": accept})
    assert (answer.status_code, answer.text) == (200, "OK!!!")
    assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize("accept", ["application/json", "application/json, text/plain, */*"])
def test_health_is_json_for_who_asks_for_it_and_has_the_word_in_it(serve: Start, accept: str) -> None:
    answer = serve(works=False)("GET", "/health", headers={"Accept": accept})
    assert (answer.json()["status"], answer.json()["message"]) == ("ok", "OK!!!")


def test_a_lone_mode_of_an_engine_is_meant_with_it(serve: Start, page: Path) -> None:
    service = serve()
    for fields, mode in (({"engine": "nougat"}, "paper"), ({"engine": "tesseract"}, "document"), ({}, "document")):
        job = service("POST", "/api/jobs", files={"file": page.read_bytes()}, data=fields).json()
        assert job["options"]["mode"] == mode
    fields = {"engine": "nougat", "mode": "handwriting"}
    job = service("POST", "/api/jobs", files={"file": page.read_bytes()}, data=fields).json()
    assert job["options"]["mode"] == "handwriting"


def test_a_paper_is_read_by_others_where_nougat_is_not_there(serve: Start, page: Path) -> None:
    service = serve(ocr_plugins=())
    job = service("POST", "/api/jobs", files={"file": page.read_bytes()}, data={"mode": "paper"}).json()
    ended = service("GET", f"/api/jobs/{job['id']}", params={"wait": 20}).json()
    assert (ended["status"], ended["engines"]) == ("completed", ["tesseract"])


@pytest.mark.parametrize(
    ("house", "nougat"),
    [
        ("Let $x$ be $5.", r"Let \(x\) be $5."),
        (r"It costs \$5 and \$6.", "It costs $5 and $6."),
        ("$$\na=b\n$$", r"\[a=b\]"),
        (r"$\$x$ and \*", r"\(\$x\) and \*"),
        ("\\begin{tabular}{c} \\$5 & $x$ \\end{tabular}", "\\begin{tabular}{c} \\$5 & $x$ \\end{tabular}"),
    ],
)
def test_formulas_stand_between_the_signs_that_nougat_uses(house: str, nougat: str) -> None:
    assert nougat_flavour(house) == nougat


def test_files_that_come_slowly_keep_nobody_else_waiting(serve: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    may_end = threading.Event()

    @contextmanager
    def slowly(*_: object) -> Iterator[None]:
        may_end.wait(20)
        raise FetchFailed(reason="It took its time.")
        yield

    monkeypatch.setattr(fetch, "fetched", slowly)
    service = serve(works=False)
    asking = [threading.Thread(target=ocr, args=(service, "https://example.org/a.png")) for _ in range(50)]
    for one in asking:
        one.start()
    time.sleep(1)
    began = time.monotonic()
    try:
        assert service("GET", "/api/jobs").status_code == 200
        assert time.monotonic() - began < 5
    finally:
        may_end.set()
        for one in asking:
            one.join()
