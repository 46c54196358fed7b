"""Whether a server can be asked at all: found out quickly, remembered for some seconds, and said in words."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import replace

import pytest

from copyist.engines.base import Availability, DotsSettings, EngineSettings
from copyist.engines.dots.remote import servers
from copyist.engines.dots.remote.client import check
from copyist.engines.dots.remote.servers import Unusable, address
from tests.fake_vllm import MODEL, FakeVllm
from tests.servers import free_port

SETTINGS = EngineSettings()


def found(*urls: str, **more: object) -> Availability:
    dots = replace(DotsSettings(servers=urls), **more)  # type: ignore[arg-type]
    return check(replace(SETTINGS, dots=dots))


def test_a_server_with_a_model_is_ready_and_told_apart_by_it(fake: FakeVllm) -> None:
    ready = found(fake.url)
    assert (ready.ready, ready.version, ready.model) == (True, MODEL, MODEL)
    assert (ready.device, ready.at_once) == (fake.url, 16)
    assert found(fake.url, at_once=3).at_once == 3


def test_what_was_found_out_holds_for_some_seconds_the_failure_too(
    fake: FakeVllm, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        assert found(fake.url).ready
    assert fake.listed == 1
    servers.forget()
    fake.models_behaviour = "500"
    for _ in range(5):
        assert not found(fake.url).ready
    assert fake.listed == 2
    monkeypatch.setattr(servers, "FRESH_S", 0.0)
    servers.forget()
    fake.models_behaviour = "good"
    assert found(fake.url).ready
    assert found(fake.url).ready
    assert fake.listed == 4


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ("html", "does not look like an OpenAI-compatible server; DOTS_OCR_URL usually ends in /v1"),
        ("other", "does not look like an OpenAI-compatible server"),
        ("empty", "lists no model"),
        ("500", "answers with status 500"),
        ("401", "DOTS_OCR_API_KEY"),
    ],
)
def test_a_server_that_cannot_be_used_says_what_to_do(fake: FakeVllm, behaviour: str, words: str) -> None:
    fake.models_behaviour = behaviour
    refused = found(fake.url)
    assert not refused.ready
    assert words in refused.reason


def test_a_server_that_hangs_costs_two_seconds_at_most(fake: FakeVllm) -> None:
    fake.models_behaviour = "hang"
    started = time.monotonic()
    assert "did not list its models within 2 s" in found(fake.url).reason
    assert time.monotonic() - started < 4


def test_a_port_nobody_listens_on_is_named() -> None:
    port = free_port()
    refused = found(f"http://127.0.0.1:{port}/v1")
    assert f"http://127.0.0.1:{port}/v1 cannot be reached (connection refused)" in refused.reason


def test_a_server_that_speaks_no_http_is_not_ready() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        port = server.getsockname()[1]

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"+PONG\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        refused = found(f"http://127.0.0.1:{port}")
        thread.join()
    assert not refused.ready
    assert "cannot be reached" in refused.reason


def test_a_wrong_model_is_named_with_those_there_are(fake: FakeVllm) -> None:
    fake.models = ("qwen", "llama")
    assert 'no model "dots"' in found(fake.url, served_model="dots").reason
    assert "Set DOTS_OCR_SERVED_MODEL to one of: qwen, llama." in found(fake.url, served_model="dots").reason
    assert found(fake.url, served_model="llama").version == "llama"


def test_one_server_of_several_is_enough(fake: FakeVllm) -> None:
    gone = f"http://127.0.0.1:{free_port()}/v1"
    ready = found(gone, fake.url)
    assert (ready.ready, ready.device, ready.at_once) == (True, fake.url, 32)
    both = found(gone, f"http://127.0.0.1:{free_port()}/v1")
    assert both.reason.count("cannot be reached") == 2


@pytest.mark.parametrize("base", ["", "gpu1:8000", "ftp://gpu1/v1", "http://", "http://[::1", "http://a:b:c"])
def test_what_is_no_address_is_refused_in_words(base: str) -> None:
    with pytest.raises(Unusable, match="http://host:8000/v1"):
        address(base)
    assert "http://host:8000/v1" in found(base).reason


def test_credentials_in_an_address_are_used_and_never_shown(fake: FakeVllm) -> None:
    one = address(f"http://reader:hush@127.0.0.1:{fake.port}/v1/?token=hush#x")
    assert (one.url, one.host) == (fake.url, f"127.0.0.1:{fake.port}")
    assert one.auth is not None
    assert "hush" not in repr(one)
    assert "hush" not in str(found(f"http://reader:hush@127.0.0.1:{fake.port}/v1"))
    assert address("http://reader:hush@host/v1", "key").auth is None, "the key goes before"


def test_a_model_behind_another_name_is_told_by_both(fake: FakeVllm, monkeypatch: pytest.MonkeyPatch) -> None:
    card = [{"id": "model", "root": "/weights/DotsMOCR"}, {"id": "dots", "root": "org/dots"}]
    served = [servers._chosen(address(fake.url), card, wanted) for wanted in ("model", "dots")]
    assert [one.title for one in served] == ["model (DotsMOCR)", "dots"]
