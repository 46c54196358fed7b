"""The whole service with dots.ocr on a server: whatever that server does, the page is read, and its trail tells how."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.conftest import Start
from tests.fake_vllm import FakeVllm
from tests.servers import PostgresServer, ValkeyServer, free_port, process_environment
from tests.service import Service

KEY = "a-secret-key"
PLUGINS = "tests.faulty_engines:Faulty"
READ = [("dots", "read")]


def environment(fake: FakeVllm) -> dict[str, str]:
    return {
        "OCR_BACKEND": "dots",
        "OCR_FALLBACK": "faulty",
        "OCR_PLUGINS": PLUGINS,
        "DOTS_OCR_URL": fake.url,
        "DOTS_OCR_API_KEY": KEY,
        "LEASE_S": "20",
        "CELERY_WORKER_CONCURRENCY": "1",
    }


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeVllm]:
    with FakeVllm(api_key=KEY) as server:
        yield server


@pytest.fixture(scope="module")
def dots(tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer, fake: FakeVllm) -> Iterator[Service]:
    """A service whose first engine is dots.ocr on the fake server, and whose second always reads."""
    url = postgres.create_database()
    settings = environment(fake) | {"DOTS_OCR_TIMEOUT_S": "3"}
    folder = tmp_path_factory.mktemp("dots")
    with ValkeyServer() as valkey, Service(folder, redis_url=valkey.url, database_url=url, **settings) as service:
        yield service.start("api", "beat", "worker").await_ready()
        everything = "".join(service.log(name) for name in ("api", "beat", "worker"))
        assert KEY not in everything
    postgres.drop_database(url)


@pytest.fixture(autouse=True)
def well(fake: FakeVllm) -> Iterator[None]:
    """Begin and end each test with a server that is well."""
    fake.control({"reset": True, "default": "good", "models_behaviour": "good"})
    yield
    fake.control({"reset": True, "default": "good", "models_behaviour": "good"})


def steps(page: dict[str, Any]) -> list[tuple[str, str]]:
    return [(step["engine"], step["outcome"]) for step in page["trail"]]


def told(page: dict[str, Any]) -> str:
    """Everything that the trail says in words."""
    return " ".join(" ".join((step["reason"], *step["notes"])) for step in page["trail"])


def read(service: Service, sample: Path) -> dict[str, Any]:
    job = service.read(sample, seconds=60)
    assert job["status"] == "completed", job
    return service.page(job["id"])


def test_a_page_is_read_on_the_server_with_its_cost_in_the_trail(
    dots: Service, fake: FakeVllm, own_samples: Path
) -> None:
    page = read(dots, own_samples / "letter.png")
    assert steps(page) == READ
    assert "finished by stop" in told(page)
    content = page["content"]
    assert content["blocks"][0]["lines"][0]["text"].startswith("Line 1 of")
    assert content["engine"] == "dots"
    assert fake.asked[0].prompt == "layout"
    assert fake.asked[0].width % 28 == fake.asked[0].height % 28 == 0
    assert page["trail"][0]["confidence"] == pytest.approx(0.951, abs=0.01)


@pytest.mark.parametrize(
    ("script", "prompts", "words"),
    [
        (["length"], ["layout", "layout"], "cut at 8,192 tokens; asked again at temperature 0.3"),
        (["repetition"], ["layout", "layout"], "in circles"),
        (["loop", "loop"], ["layout"] * 3, "asked again at 0.75 times the size"),
        (["garbage"] * 4, ["layout"] * 3 + ["layout_only", "text"], "asked for the plain text"),
        (["429"], ["layout", "layout"], "is busy (429)"),
        (["500"], ["layout", "layout"], "answered with an error (500)"),
        (["drop"], ["layout", "layout"], "dropped the connection"),
        (["400"], ["layout", "layout"], "refused the question (400)"),
    ],
)
def test_what_goes_wrong_once_is_mended_on_the_ladder(
    dots: Service, fake: FakeVllm, own_samples: Path, script: list[str], prompts: list[str], words: str
) -> None:
    fake.script(*script)
    page = read(dots, own_samples / "letter.png")
    assert steps(page) == READ
    assert fake.prompts == prompts
    assert words in told(page)


@pytest.mark.parametrize(
    ("behaviour", "outcome", "words"),
    [
        ("length_early", "garbage", "cut at 16,384 tokens"),
        ("garbage", "garbage", "no whole layout"),
        ("401", "not_ready", "DOTS_OCR_API_KEY"),
        ("html", "not_ready", "OpenAI-compatible"),
        ("429_long", "not_ready", "asks to wait for 600 s"),
        ("hang", "timed_out", "did not answer within 3 s"),
    ],
)
def test_what_goes_wrong_for_good_leaves_the_page_to_the_next_engine(
    dots: Service, fake: FakeVllm, own_samples: Path, behaviour: str, outcome: str, words: str
) -> None:
    fake.default = behaviour
    page = read(dots, own_samples / "letter.png")
    assert steps(page) == [("dots", outcome), ("faulty", "read")]
    assert words in told(page)
    assert KEY not in str(page)


def test_the_whole_blocks_of_a_cut_answer_are_kept_where_the_next_engine_reads_far_less(
    dots: Service, fake: FakeVllm, own_samples: Path
) -> None:
    fake.default = "length"
    page = read(dots, own_samples / "letter.png")
    assert steps(page) == [("dots", "read"), ("faulty", "kept_other")]
    assert "parts of the page are missing" in told(page)
    assert page["content"]["complete"] is False


def test_a_server_in_trouble_is_left_alone_after_five_failures(
    dots: Service, fake: FakeVllm, own_samples: Path
) -> None:
    """The last test with this service: its worker leaves the server alone for half a minute."""
    fake.default = "500"
    trails = [told(read(dots, own_samples / "letter.png")) for _ in range(3)]
    assert "answered with an error (500)" in trails[0]
    assert "left alone for 30 s" in trails[1]
    assert len(fake.asked) == 5, "the third page asked nothing"
    assert "left alone" in trails[2]


def test_a_server_that_is_away_from_the_start_is_named_and_the_next_engine_reads(
    start: Start, fake: FakeVllm, own_samples: Path
) -> None:
    gone = f"http://reader:{KEY}@127.0.0.1:{free_port()}/v1"
    service = start(**environment(fake) | {"DOTS_OCR_URL": gone})
    page = read(service, own_samples / "letter.png")
    assert steps(page) == [("dots", "not_ready"), ("faulty", "read")]
    assert "cannot be reached (connection refused)" in told(page)
    assert KEY not in str(page)
    assert KEY not in "".join(service.log(name) for name in service.processes)


def test_the_fake_server_runs_as_a_process_and_is_told_how_to_behave() -> None:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.fake_vllm", "--port", str(port)], env=process_environment()
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            until = time.monotonic() + 30
            while True:
                try:
                    client.get("/health")
                    break
                except httpx.TransportError:
                    assert time.monotonic() < until
                    time.sleep(0.05)
            assert client.get("/v1/models").json()["data"][0]["id"] == "dots-mocr"
            client.post("/control", json={"models_behaviour": "html"})
            assert client.get("/v1/models").text.startswith("<html>")
            assert client.get("/control").json() == {"asked": [], "listed": 2}
    finally:
        process.terminate()
        process.wait(10)


def test_a_worker_that_was_there_before_its_server_serves_the_gpu_queue_from_then_on(
    start: Start, fake: FakeVllm, own_samples: Path
) -> None:
    fake.control({"models_behaviour": "500"})
    service = start(**environment(fake) | {"OCR_BACKEND": "auto", "OCR_FALLBACK": "dots,faulty"})
    assert "dots" not in service.client.get("/readyz").json()["engines"]
    fake.control({"models_behaviour": "good"})
    until = time.monotonic() + 40
    while "dots" not in service.client.get("/readyz").json()["engines"]:
        assert time.monotonic() < until
        time.sleep(0.2)
    time.sleep(1)
    assert steps(read(service, own_samples / "letter.png")) == READ
    assert "nobody serves" not in service.log("beat")
