"""Where results are written."""

from __future__ import annotations

from pathlib import Path

from copyist.cli.delivery import Delivery


def test_a_link_in_the_folder_does_not_lead_a_result_over_another_file(tmp_path: Path) -> None:
    other, folder = tmp_path / "other", tmp_path / "out"
    other.write_text("kept")
    folder.mkdir()
    (folder / ".a.txt.part").symlink_to(other)
    Delivery([Path("a.png")], "txt", folder, force=False).give(Path("a.png"), b"read")
    assert (other.read_text(), (folder / "a.txt").read_text()) == ("kept", "read")
    assert not (folder / "a.txt").is_symlink()
