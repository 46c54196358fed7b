"""docling-serve's routes, called as Open WebUI, docling's own client and people with curl call them."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from copyist import document
from copyist.api.compat.docling_document import docling_document
from copyist.db import keys
from copyist.db.session import Database
from copyist.document import Block, BlockKind, Box, Line, Page
from copyist.engines.base import PageImage
from tests.api.formula_engines import in_base64, picture
from tests.api.one_process import OneProcess, Start, assert_cancelled_when_the_client_hangs_up, serving
from tests.api.test_refusals import assert_problem
from tests.faulty_engines import Faulty

TEXT = "A line that was read"
TO_THE_END = 9223372036854775807


class Narrow(Faulty):
    """Reads no page that is wider than high, as fast as can be."""

    name = "narrow"

    def page(self, image: PageImage) -> Page:
        if image.width > image.height:
            raise RuntimeError("too wide")
        return super().page(image)


@pytest.fixture
def serve(redis_url: str, sqlite_url: str, tmp_path: Path) -> Iterator[Start]:
    plugins = (
        *("tests.faulty_engines:Faulty", "tests.api.test_compat_docling:Narrow"),
        "tests.api.formula_engines:SlowReader",
    )
    with serving(
        tmp_path, redis_url, database_url=sqlite_url, ocr_fallback=("faulty", "mock"), ocr_plugins=plugins
    ) as start:
        yield start


def pdf(*sizes: tuple[int, int]) -> bytes:
    """Pages of these sizes without any text."""
    content = io.BytesIO()
    first, *more = [Image.new("L", size, 255) for size in sizes or [(200, 300)]]
    first.save(content, "PDF", save_all=True, append_images=more)
    return content.getvalue()


def convert(service: OneProcess, content: bytes, path: str = "/v1/convert/file", **options: Any) -> httpx.Response:
    files = {"files": ("scan.pdf", content, "application/pdf")}
    return service("POST", path, files=files, data=options)


def test_open_webui_gets_its_markdown(serve: Start) -> None:
    service = serve()
    answer = service(
        "POST",
        "/v1/convert/file",
        files={"files": ("/app/backend/data/uploads/scan.pdf", pdf(), "application/pdf")},
        data={"image_export_mode": "placeholder", "table_mode": "accurate", "do_ocr": "true", "pipeline": "standard"},
        headers={"X-Api-Key": ""},
    )
    assert answer.status_code == 200
    body = answer.json()
    assert body["document"] == {
        "filename": "scan.pdf",
        "md_content": TEXT + "\n",
        "json_content": None,
        "html_content": None,
        "text_content": None,
        "doctags_content": None,
    }
    assert (body["status"], body["errors"], body["timings"]) == ("success", [], {})
    assert body["processing_time"] >= 0


def test_a_task_is_sent_polled_and_fetched_as_doclings_client_does(serve: Start) -> None:
    """With the options that it sends, defaults and all."""
    service = serve()
    options = {
        "from_formats": ["docx", "pptx", "html", "image", "pdf", "asciidoc", "md"],
        "to_formats": ["md", "json"],
        "image_export_mode": "embedded",
        "do_ocr": True,
        "force_ocr": False,
        "ocr_engine": "easyocr",
        "pdf_backend": "dlparse_v4",
        "table_mode": "accurate",
        "table_cell_matching": True,
        "pipeline": "standard",
        "page_range": [1, TO_THE_END],
        "abort_on_error": False,
        "do_table_structure": True,
        "include_images": True,
        "images_scale": 2.0,
        "md_page_break_placeholder": "",
        "target_type": "inbody",
    }
    submitted = convert(service, pdf((200, 300), (200, 301)), "/v1/convert/file/async", **options)
    assert submitted.status_code == 200
    task = submitted.json()
    assert set(task) == {"task_id", "task_type", "task_status", "task_position", "task_meta", "error_message"}
    assert (task["task_type"], task["error_message"]) == ("convert", None)
    task = service("GET", f"/v1/status/poll/{task['task_id']}", params={"wait": 20.0}).json()
    assert task["task_status"] == "success"
    assert task["task_meta"] | {"num_partially_succeeded": 0} == {
        "num_docs": 1,
        "num_processed": 1,
        "num_succeeded": 1,
        "num_partially_succeeded": 0,
        "num_failed": 0,
    }
    for _ in range(2):  # docling-serve forgets a result that was read once.
        body = service("GET", f"/v1/result/{task['task_id']}").json()
        assert body["document"]["md_content"] == f"{TEXT}\n\n{TEXT}\n"
        tree = body["document"]["json_content"]
        assert (tree["schema_name"], tree["name"], list(tree["pages"])) == ("DoclingDocument", "scan", ["1", "2"])
        assert [(text["text"], text["prov"][0]["page_no"]) for text in tree["texts"]] == [(TEXT, 1), (TEXT, 2)]


def test_a_result_is_404_until_it_is_there_in_the_words_that_clients_know(serve: Start) -> None:
    service = serve(works=False)
    task = convert(service, pdf(), "/v1/convert/file/async").json()
    assert (task["task_status"], task["task_position"]) == ("pending", 1)
    early = service("GET", f"/v1/result/{task['task_id']}")
    assert_problem(early, 404, "task_not_ended")
    assert early.json()["detail"] == "Task result not found. Please wait for a completion status."
    for path in ("/v1/status/poll/", "/v1/result/"):
        unknown = service("GET", path + "0b8f4b0e-6c2d-4f0a-9a57-3d5a4f0f9c11")
        assert (unknown.status_code, unknown.json()["detail"]) == (404, "Task not found.")
        assert service("GET", path + "no-id").status_code == 404


def test_a_task_that_fails_says_why_and_is_no_success_anywhere(serve: Start, own_samples: Path) -> None:
    service = serve()
    locked = (own_samples / "locked.pdf").read_bytes()
    assert_problem(convert(service, locked), 422, "encrypted")
    task = convert(service, locked, "/v1/convert/file/async").json()
    task = service("GET", f"/v1/status/poll/{task['task_id']}", params={"wait": 20}).json()
    assert (task["task_status"], task["task_meta"]["num_failed"]) == ("failure", 1)
    assert task["error_message"].endswith("password.")
    assert_problem(service("GET", f"/v1/result/{task['task_id']}"), 422, "encrypted")


def test_a_placeholder_is_a_failure(serve: Start) -> None:
    service = serve(ocr_plugins=(), ocr_backend="mock", ocr_fallback=("mock",))
    assert_problem(convert(service, pdf()), 503, "only_placeholder")
    task = convert(service, pdf(), "/v1/convert/file/async").json()
    task = service("GET", f"/v1/status/poll/{task['task_id']}", params={"wait": 20}).json()
    assert task["task_status"] == "failure" and task["error_message"]
    assert_problem(service("GET", f"/v1/result/{task['task_id']}"), 503, "only_placeholder")


def test_pages_that_failed_make_a_partial_success(serve: Start) -> None:
    service = serve(ocr_fallback=("narrow",))
    body = convert(service, pdf((200, 300), (400, 300))).json()
    assert (body["status"], body["document"]["md_content"]) == ("partial_success", TEXT + "\n")
    assert [error["error_message"] for error in body["errors"]] == ["1 of 2 pages could not be read."]


def test_a_conversion_that_takes_long_is_a_504_and_goes_on(serve: Start) -> None:
    service = serve(works=False, wait_max_s=0.2)
    answer = convert(service, pdf())
    assert_problem(answer, 504, "conversion_too_long")
    assert answer.headers["Location"] in answer.json()["detail"]
    assert service("GET", answer.headers["Location"]).json()["task_status"] == "pending"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"text": "auto", "pages": None, "engine": None, "languages": []}),
        ({"force_ocr": "true"}, {"text": "force"}),
        ({"do_ocr": "false", "force_ocr": "true"}, {"text": "only"}),
        ({"ocr_lang": ["en", "de"]}, {"languages": ["eng", "deu"]}),
        ({"ocr_lang": '["en"]'}, {"languages": ["eng"]}),
        ({"page_range": ["2", "3"]}, {"pages": "2-2"}),
        ({"page_range": ["2", str(TO_THE_END)]}, {"pages": "2-"}),
        ({"page_range": ["1", "20"]}, {"pages": "1-2"}),
        ({"document_timeout": "12.5"}, {"time_limit": 12.5}),
        ({"document_timeout": "1e300"}, {"time_limit": None}),
        ({"ocr_engine": "ocrmac", "ocr_preset": "auto", "picture_description_api": "{}"}, {"engine": None}),
        ({"ocr_engine": "tesseract"}, {"engine": None}),
    ],
)
def test_options_become_the_houses_own_and_unknown_ones_do_no_harm(
    serve: Start, options: dict[str, Any], expected: dict[str, Any]
) -> None:
    service = serve(works=False)
    answer = convert(service, pdf((200, 300), (200, 301)), "/v1/convert/file/async", **options)
    assert answer.status_code == 200
    job = service("GET", f"/api/jobs/{answer.json()['task_id']}").json()
    assert job["options"] | expected == job["options"]
    assert job["warnings"] == []


def test_doclings_client_is_told_to_ask_for_the_document_itself(serve: Start) -> None:
    """It asks for an address first, and goes on only where it finds these words (``docling.service_client``)."""
    service = serve(works=False)
    source = {"kind": "file", "base64_string": in_base64(picture()), "filename": "note.png"}
    wish = {"sources": [source], "target": {"kind": "presigned_url"}}
    answers = (
        convert(service, pdf(), "/v1/convert/file/async", target_type="presigned_url"),
        service("POST", "/v1/convert/source/async", json=wish),
    )
    for answer in answers:
        assert_problem(answer, 422, "no_artifact_storage")
        assert "artifact storage to be configured" in answer.json()["detail"].lower()


def test_the_end_of_a_range_is_cut_for_pictures_and_sources_too(serve: Start) -> None:
    service = serve(works=False)
    task = service("POST", "/v1/convert/file/async", files={"files": picture()}, data={"page_range": ["1", "9"]}).json()
    assert service("GET", f"/api/jobs/{task['task_id']}").json()["options"]["pages"] == "1-1"
    for content, pages in ((pdf((200, 300), (200, 301)), "2-2"), (b"%PDF-1.7 broken", "2-9")):
        source = {"kind": "file", "base64_string": in_base64(content), "filename": "a.pdf"}
        wish = {"options": {"page_range": [2, 9]}, "sources": [source]}
        task = service("POST", "/v1/convert/source/async", json=wish).json()
        assert service("GET", f"/api/jobs/{task['task_id']}").json()["options"]["pages"] == pages


def test_an_engine_that_is_ready_is_taken_and_a_language_that_is_not_is_told(serve: Start) -> None:
    service = serve(ocr_fallback=("tesseract", "mock"))
    body = convert(service, pdf(), ocr_engine="tesseract_cli", ocr_lang="eng,klingon").json()
    assert body["errors"][0]["component_type"] == "user_input"
    assert "klingon" in body["errors"][0]["error_message"]
    job = service("GET", "/api/jobs").json()["jobs"][0]
    assert (job["options"]["engine"], job["options"]["languages"]) == ("tesseract", ["eng"])


@pytest.mark.parametrize(
    "options", [{"to_formats": "html"}, {"page_range": ["3", "2"]}, {"document_timeout": "x"}, {"target_type": "s3"}]
)
def test_wishes_that_cannot_be_met_are_refused(serve: Start, options: dict[str, Any]) -> None:
    assert_problem(convert(serve(works=False), pdf(), **options), 422, "invalid_option")


def test_formats_beside_those_that_are_made_are_noted(serve: Start) -> None:
    body = convert(serve(), pdf(), to_formats=["text", "html", "doctags"]).json()
    assert (body["document"]["text_content"], body["document"]["md_content"]) == (TEXT + "\n", None)
    assert [error["error_message"] for error in body["errors"]] == ["Not made here: doctags, html."]


def test_pages_are_parted_by_the_mark_that_was_asked_for(serve: Start) -> None:
    body = convert(serve(), pdf((200, 300), (200, 301)), md_page_break_placeholder="\f").json()
    assert body["document"]["md_content"] == f"{TEXT}\n\n\f\n\n{TEXT}\n"


def test_a_zip_holds_what_was_asked_for(serve: Start) -> None:
    service = serve()
    answer = convert(service, pdf(), target_type="zip", to_formats=["md", "text", "json"])
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.namelist() == ["scan.md", "scan.txt", "scan.json"]
        assert json.loads(archive.read("scan.json"))["schema_name"] == "DoclingDocument"


def test_several_files_come_as_one_zip_and_those_that_failed_are_told(serve: Start, own_samples: Path) -> None:
    service = serve()
    names = ("a.pdf", "b.pdf", "locked.pdf")
    contents = (pdf(), pdf((200, 310)), (own_samples / "locked.pdf").read_bytes())
    files = [("files", one) for one in zip(names, contents, strict=True)]
    answer = service("POST", "/v1/convert/file", files=files)
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.namelist() == ["1-a.md", "2-b.md", "errors.json"]
        assert json.loads(archive.read("errors.json"))["locked.pdf"]["code"] == "encrypted"
    assert_problem(service("POST", "/v1/convert/file/async", files=files), 422, "invalid_request")
    files[1] = ("files", ("b.pdf", b"no file"))
    before = len(service("GET", "/api/jobs").json()["jobs"])
    assert_problem(service("POST", "/v1/convert/file", files=files), 415, "unsupported_media")
    left = service("GET", "/api/jobs").json()["jobs"]
    assert len(left) == before + 1 and left[0]["status"] in ("cancelled", "completed")


def test_sources_come_as_base64_or_by_address(serve: Start) -> None:
    service = serve()
    source = {"kind": "file", "base64_string": in_base64(picture(200, 300)), "filename": "note.png"}
    body = service("POST", "/v1/convert/source", json={"options": {"to_formats": "text"}, "sources": [source]}).json()
    assert (body["document"]["filename"], body["document"]["text_content"]) == ("note.png", TEXT + "\n")
    task = service("POST", "/v1/convert/source/async", json={"sources": [source], "target": {"kind": "inbody"}}).json()
    task = service("GET", f"/v1/status/poll/{task['task_id']}", params={"wait": 20}).json()
    assert task["task_status"] == "success"
    for url, code in (("https://example.org/a.pdf", 403), ("file:///etc/passwd", 422), ("data:,x", 422)):
        wish = {"sources": [{"kind": "http", "url": url}]}
        for path in ("/v1/convert/source", "/v1/convert/source/async"):
            assert service("POST", path, json=wish).status_code == code
    refused: tuple[dict[str, Any], ...] = ({}, {"sources": []}, {"sources": [{"kind": "s3"}]})
    for empty in refused:
        assert_problem(service("POST", "/v1/convert/source", json=empty), 422, "invalid_request")


def test_tasks_are_seen_by_their_owner_only(serve: Start, sqlite_url: str) -> None:
    service = serve(works=False, api_keys="required")
    db = Database(sqlite_url)
    with db.write() as session:
        mine, other = ({"X-Api-Key": keys.create(session, name=name)[1]} for name in ("mine", "other"))
    db.close()
    files = {"files": ("a.pdf", pdf())}
    assert_problem(service("POST", "/v1/convert/file/async", files=files), 401, "unauthorized")
    task = service("POST", "/v1/convert/file/async", files=files, headers=mine).json()["task_id"]
    for path, status in ((f"/v1/status/poll/{task}", 200), (f"/v1/result/{task}", 404)):
        assert service("GET", path, headers=mine).status_code == status
        hidden = service("GET", path, headers=other)
        assert (hidden.status_code, hidden.json()["detail"]) == (404, "Task not found.")


def test_who_hangs_up_cancels_the_task(serve: Start) -> None:
    service = serve(ocr_fallback=("slow-reader", "mock"))
    source = {"kind": "file", "base64_string": in_base64(picture(200, 300)), "filename": "note.png"}
    assert_cancelled_when_the_client_hangs_up(service, "/v1/convert/source", {"sources": [source]})


def test_version_and_health_are_there(serve: Start) -> None:
    service = serve(works=False)
    assert service("GET", "/version").json().keys() == {"copyist"}
    assert service("GET", "/health", headers={"Accept": "application/json"}).json()["status"] == "ok"


# What docling-core's schema 1.4.0 allows an item to have, and demands.
_NODE = {"self_ref", "parent", "children", "content_layer", "label"}
_FLOATING = _NODE | {"prov", "captions", "references", "footnotes", "image"}
KEYS = {
    "texts": _NODE | {"prov", "orig", "text"},
    "tables": _FLOATING | {"data"},
    "pictures": _FLOATING | {"annotations"},
    "groups": _NODE | {"name"},
}
MORE_KEYS = {"section_header": {"level"}, "list_item": {"enumerated", "marker"}}


def test_a_document_has_the_shape_of_doclings() -> None:
    def block(kind: BlockKind, *lines: str, markup: str | None = None) -> Block:
        found = tuple(Line(text=text, box=Box(1, 2, 30, 10)) for text in lines)
        return Block(kind=kind, box=Box(1, 2, 30, 40), lines=found, markup=markup)

    blocks = (
        block(BlockKind.HEADER, "page 1"),
        block(BlockKind.TITLE, "Rivers"),
        block(BlockKind.TITLE, "Their width"),
        block(BlockKind.TEXT, "They are", "wide."),
        block(BlockKind.LIST, "Elbe", "Oder"),
        block(BlockKind.FORMULA, "x 2", markup="x^2"),
        block(BlockKind.TABLE, markup="<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>"),
        block(BlockKind.PICTURE),
    )
    page = document.Page(number=3, width=100, height=200, engine="x", engine_version="1", blocks=blocks)
    tree = json.loads(json.dumps(docling_document("rivers.pdf", [page])))

    def at(ref: dict[str, str]) -> dict[str, Any]:
        found: Any = tree
        for part in ref["$ref"].removeprefix("#/").split("/"):
            found = found[int(part)] if isinstance(found, list) else found[part]
        item: dict[str, Any] = found
        return item

    for kind, allowed in KEYS.items():
        for place, item in enumerate(tree[kind]):
            assert set(item) == allowed | MORE_KEYS.get(item["label"], set()), item["label"]
            assert item["self_ref"] == f"#/{kind}/{place}"
            assert item["self_ref"] in [child["$ref"] for child in at(item["parent"])["children"]]
    read = [at(child) for child in tree["body"]["children"]]
    assert [(item["label"], item.get("text")) for item in read] == [
        ("page_header", "page 1"),
        ("title", "Rivers"),
        ("section_header", "Their width"),
        ("text", "They are\nwide."),
        ("list", None),
        ("formula", "x^2"),
        ("table", None),
        ("picture", None),
    ]
    assert read[0]["content_layer"] == "furniture"
    assert [at(child)["text"] for child in read[4]["children"]] == ["Elbe", "Oder"]
    data = read[6]["data"]
    assert (data["num_rows"], data["num_cols"]) == (2, 2)
    assert [
        (cell["start_row_offset_idx"], cell["start_col_offset_idx"], cell["text"]) for cell in data["table_cells"]
    ] == [*((0, 0, "a"), (0, 1, "b"), (1, 0, "c"))]
    assert read[3]["prov"] == [
        {
            "page_no": 3,
            "bbox": {"l": 1.0, "t": 2.0, "r": 30.0, "b": 40.0, "coord_origin": "TOPLEFT"},
            "charspan": [0, 14],
        }
    ]
    assert tree["pages"] == {"3": {"size": {"width": 100.0, "height": 200.0}, "image": None, "page_no": 3}}
