"""Opening PDFs that are protected by a password."""

from __future__ import annotations

from pathlib import Path

import pikepdf
import pytest

from copyist.errors import DamagedFile, Encrypted, WrongPassword
from copyist.pdflock import decrypt, is_locked


def pdf(path: Path, *, user: str = "", owner: str = "", strength: int = 6) -> Path:
    document = pikepdf.new()
    document.add_blank_page(page_size=(300, 200))
    locks = pikepdf.Encryption(user=user, owner=owner, R=strength) if user or owner else None
    document.save(path, encryption=locks or False)
    return path


@pytest.mark.parametrize("strength", [4, 6])
def test_a_locked_pdf_opens_with_its_password_and_stays_open(tmp_path: Path, strength: int) -> None:
    locked, opened = pdf(tmp_path / "in", user="sesame", owner="keeper", strength=strength), tmp_path / "out"
    assert is_locked(locked)
    decrypt(locked, opened, "sesame")
    assert not is_locked(opened)
    with pikepdf.open(opened) as document:
        assert not document.is_encrypted
        assert len(document.pages) == 1


def test_the_owners_password_opens_it_too(tmp_path: Path) -> None:
    decrypt(pdf(tmp_path / "in", user="sesame", owner="keeper"), tmp_path / "out", "keeper")
    assert not is_locked(tmp_path / "out")


def test_the_same_file_and_password_give_the_same_bytes(tmp_path: Path) -> None:
    locked = pdf(tmp_path / "in", user="sesame", owner="keeper")
    decrypt(locked, tmp_path / "one", "sesame")
    decrypt(locked, tmp_path / "two", "sesame")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_wrong_password_is_told_apart_from_none(tmp_path: Path) -> None:
    locked = pdf(tmp_path / "in", user="sesame", owner="keeper")
    with pytest.raises(WrongPassword) as raised:
        decrypt(locked, tmp_path / "out", "simsalabim")
    assert "simsalabim" not in raised.value.detail
    with pytest.raises(Encrypted) as missing:
        decrypt(locked, tmp_path / "out", "")
    assert not isinstance(missing.value, WrongPassword)


def test_a_pdf_that_is_only_protected_against_changes_is_not_locked(tmp_path: Path) -> None:
    assert not is_locked(pdf(tmp_path / "in", owner="keeper"))
    assert not is_locked(pdf(tmp_path / "plain"))


def test_what_is_no_pdf_is_not_locked_but_damaged(tmp_path: Path) -> None:
    broken = tmp_path / "in"
    broken.write_bytes(b"%PDF-1.7 and nothing else")
    assert not is_locked(broken)
    with pytest.raises(DamagedFile):
        decrypt(broken, tmp_path / "out", "sesame")
