"""How much memory there is, by the system's word and by the container's."""

from __future__ import annotations

from pathlib import Path

import pytest

from copyist.engines import memory


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(memory, "_SYSTEM", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_GROUP", tmp_path)
    return tmp_path


def test_what_is_available_is_free(system: Path) -> None:
    assert memory.free_here() is None
    (system / "meminfo").write_text("MemTotal: 16 kB\nMemAvailable: 8 kB\nHugePages: 0\n")
    assert memory.free_here() == 8192


def test_a_container_may_have_less_and_files_that_were_read_are_no_burden(system: Path) -> None:
    (system / "meminfo").write_text("MemAvailable: 8 kB\n")
    (system / "memory.max").write_text("4000\n")
    (system / "memory.current").write_text("3000\n")
    (system / "memory.stat").write_text("anon 1000\ninactive_file 2000\n")
    assert memory.free_here() == 3000
    (system / "memory.max").write_text("max\n")
    assert memory.free_here() == 8192
