"""The container files, read without an engine; ``make compose-test`` builds and runs them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.servers import ROOT

COMPOSE = (ROOT / "docker-compose.yml", ROOT / "docker-compose.gpu.yml")
DOCKERFILES = sorted((ROOT / "docker").glob("*/Dockerfile*"))
OURS = ("api", "worker", "trainer", "beat", "flower", "migrate")


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return dict(yaml.safe_load(COMPOSE[0].read_text())["services"])


def test_every_variable_of_the_stack_is_described() -> None:
    names = {name for file in COMPOSE for name in re.findall(r"\$\{([A-Z0-9_]+)", file.read_text())}
    local, page = (ROOT / ".env").read_text(), (ROOT / "docs" / "deploy.md").read_text()
    page += (ROOT / "docs" / "settings.md").read_text()
    assert [name for name in sorted(names) if not re.search(rf"^(# )?{name}=", local, re.MULTILINE)] == []
    assert [name for name in sorted(names) if f"`{name}`" not in page and f"{name}=" not in page] == []


def test_defaults_of_the_stack_are_those_told_in_env() -> None:
    local = dict(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]+)=(.*)$", (ROOT / ".env").read_text(), re.MULTILINE))
    stack_only = (ROOT / ".env").read_text().split("# The containers of", 1)[1]
    for file in COMPOSE:
        for name, default in re.findall(r"\$\{([A-Z0-9_]+):-([^}]*)\}", file.read_text()):
            if f"{name}=" in stack_only and not name.startswith("AWS_"):
                assert local[name].removeprefix("./") == default.removeprefix("./"), name


def test_every_image_runs_as_a_user_and_is_looked_after() -> None:
    assert [path.relative_to(ROOT).as_posix() for path in DOCKERFILES] == [
        "docker/api/Dockerfile",
        "docker/worker/Dockerfile",
        "docker/worker/Dockerfile.gpu",
    ]
    for path in DOCKERFILES:
        text = path.read_text()
        assert not re.search(r"^#\s*syntax", text, re.MULTILINE), "a frontend would have to be fetched"
        assert re.search(r"^USER (?!root|0)\w+", text, re.MULTILINE)
        assert "\nHEALTHCHECK " in text
        assert re.search(r'^ENTRYPOINT \["', text, re.MULTILINE), "a shell would keep signals to itself"
        assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) <= {
            "scratch",
            "python:3.11-slim-bookworm",
        }


def test_every_part_is_confined_limited_and_restarted(services: dict[str, Any]) -> None:
    for name in OURS:
        part = services[name]
        assert (part["read_only"], part["cap_drop"]) == (True, ["ALL"]), name
    for name, part in services.items():
        assert part["restart"] == ("on-failure" if name == "migrate" else "unless-stopped"), name
        assert part["security_opt"] == ["no-new-privileges:true"], name
        if name not in ("migrate", "s3"):
            assert part["deploy"]["resources"]["limits"].keys() == {"memory", "cpus"}, name


def test_only_loopback_is_open(services: dict[str, Any]) -> None:
    ports = [port for part in services.values() for port in part.get("ports", [])]
    assert ports
    assert [port for port in ports if "127.0.0.1" not in port] == []


def test_a_worker_has_longer_to_stop_than_it_takes(services: dict[str, Any]) -> None:
    from copyist.queue.app import app

    assert app.conf.worker_soft_shutdown_timeout < int(services["worker"]["stop_grace_period"].removesuffix("s")) / 2


def test_the_trainer_gives_way_to_who_reads(services: dict[str, Any]) -> None:
    """Between containers the kernel heeds shares, and not how nice a process is."""
    trainer, usual = services["trainer"], 1024
    assert trainer["cpu_shares"] < usual / 10
    assert trainer["image"] == services["worker"]["image"] and trainer["healthcheck"]["test"][-1] == "trainer"


def test_only_the_api_puts_durations_together(services: dict[str, Any]) -> None:
    """Flower counts with the same library, and fails at each event where the folder is named and missing."""
    told = [name for name, part in services.items() if "PROMETHEUS_MULTIPROC_DIR" in str(part.get("environment"))]
    assert told == ["api"]
    assert "PROMETHEUS_MULTIPROC_DIR" not in (ROOT / ".env").read_text()
    # A container's memory is empty after each start, as the library wants its folder to be.
    assert services["api"]["environment"]["PROMETHEUS_MULTIPROC_DIR"].startswith("/dev/shm/")


def test_wheels_have_a_folder_of_their_own(services: dict[str, Any]) -> None:
    """A build fetches PyTorch anew when anything in it changes, so no Dockerfile may stand there."""
    place = services["worker"]["build"]["additional_contexts"]["wheels"]
    folder = ROOT / place.removeprefix("${WHEELS_DIR:-").removesuffix("}")
    assert [path.name for path in folder.iterdir() if path.suffix != ".whl"] == ["README.md"]


def test_nothing_but_what_images_are_made_of_goes_to_the_builder() -> None:
    lines = [line for line in Path(ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert lines[0] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == {
        "pyproject.toml",
        "constraints.txt",
        "LICENSE",
        "backend",
        "weights/manifest.toml",
    }
