"""One CPU stack for the tests that leave it whole, and the figures at the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from rich.console import Console
from rich.table import Table

from tests.compose.stack import FIGURES, Stack, engine_answers, timed
from tests.servers import ROOT

CPU = ROOT / "docker-compose.yml"
GPU = ROOT / "docker-compose.gpu.yml"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what stands in this folder; without an engine none of it can run."""
    here = [item for item in items if "tests/compose" in item.path.as_posix()]
    for item in here:
        item.add_marker(pytest.mark.compose)
        item.add_marker(pytest.mark.timeout(1800))


@pytest.fixture(scope="session")
def engine() -> None:
    """Skip without a container engine."""
    if not engine_answers():
        pytest.skip("no container engine with compose answers here")


@pytest.fixture(scope="session")
def images(engine: None) -> None:
    """Build the images of the CPU stack."""
    with Stack("build", CPU) as builder, timed("build the images, or find them built"):
        builder.compose("build", timeout=1800)


@pytest.fixture(scope="module")
def stack(images: None) -> Iterator[Stack]:
    """Run the stack of ``docker compose up`` for the tests of one module."""
    with Stack("cpu", CPU) as running:
        with timed("docker compose up, until ready"):
            running.compose("up", "--detach")
            running.await_ready()
        yield running


def pytest_terminal_summary() -> None:
    """Print what was measured."""
    if FIGURES:
        table = Table("what", "figure", title="The stack")
        for row in FIGURES:
            table.add_row(*row)
        Console().print(table)
