"""A dataset is the same wherever it is written, names its pictures truly, and is refused where it is too small."""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, update
from typer.testing import CliRunner, Result

from copyist import storage
from copyist.cli import app
from copyist.db.learning_tables import Dataset, LinePicture
from copyist.engines.base import Stop
from copyist.errors import StorageFull, TooFewLines, Unavailable
from copyist.queue import dataset, lines
from copyist.queue.context import Context
from copyist.queue.lease import Lost
from copyist.storage import Storage
from copyist.training.examples import LeftOut, manifest, read_manifest, sha256_of
from tests.queue.corrected import Written, correct, written

TEXTS = ("by the harbour", "lantern", "9 March 1894")


def split_as(context: Context, page: Written, split: str) -> None:
    with context.db.write() as session:
        session.execute(update(LinePicture).where(LinePicture.job_id == page.job_id).values(split=split))


@pytest.fixture
def database_url(fresh_database: Callable[[str], str]) -> str:
    return fresh_database("sqlite")


@pytest.fixture
def learned(context: Context) -> Context:
    """Three pages: one to learn from, one held out, one held out in part; and one that was printed."""
    for at, (split, verified) in enumerate([("train", 3), ("holdout", 3), ("holdout", 2), ("train", 1)]):
        texts = [f"{text} {at}" for text in TEXTS]
        page = written(context, texts, mode="document" if at == 3 else "handwriting")
        correct(context, page, dict(enumerate((*texts[:2], None)[:verified])))
        lines.cut_lines(context, page.job_id, 1)
        split_as(context, page, split)
    return context


def write(context: Context, folder: Path, min_lines: int = 1) -> dataset.Made:
    return dataset.write(context, folder, share=0.3, min_lines=min_lines)


def test_a_dataset_lies_in_its_folder_and_is_the_same_in_the_next(learned: Context, tmp_path: Path) -> None:
    made = write(learned, tmp_path / "run")
    folder = tmp_path / "run"
    assert read_manifest(folder / "examples.jsonl") == made.examples
    assert made.sha256 == sha256_of((folder / "examples.jsonl").read_bytes())
    pictures = {example.sha256 for example in made.examples}
    assert {path.name for path in (folder / "lines").iterdir()} == {f"{sha256}.png" for sha256 in pictures}
    assert all(sha256_of((folder / "lines" / f"{sha256}.png").read_bytes()) == sha256 for sha256 in pictures)
    assert made.counts == {
        "train": 3,
        "dev": 0,
        "holdout": 3,
        "holdout_pages": 1,
        "corrected": 4,
        "left_out": {"page_not_verified": 2, "not_handwriting": 1},
    }
    with learned.db.read() as session:
        kept = session.get_one(Dataset, made.sha256)
    assert (kept.kind, kept.counts) == ("handwriting", made.counts)
    assert learned.storage.get(storage.dataset_key(made.sha256)) == manifest(made.examples)
    again = write(learned, tmp_path / "again")
    assert (again.sha256, again.last_correction_id) == (made.sha256, made.last_correction_id) != ("", 0)


def test_lost_and_damaged_pictures_are_left_out_and_counted(learned: Context, tmp_path: Path) -> None:
    found = [example.sha256 for example in write(learned, tmp_path / "whole").examples if example.split == "train"]
    learned.storage.delete(storage.line_key(found[0]))
    learned.storage.put(storage.line_key(found[1]), b"\x89PNG")
    made = write(learned, tmp_path / "run")
    assert made.counts["train"] == 1
    assert (made.counts["left_out"]["picture_lost"], made.counts["left_out"]["picture_damaged"]) == (1, 1)
    assert len(list((tmp_path / "run" / "lines").iterdir())) == len(made.examples) == 4
    with pytest.raises(TooFewLines) as refused:
        write(learned, tmp_path / "more", min_lines=2)
    assert (refused.value.fields["have"], refused.value.fields["missing"]) == (1, 1)


def test_too_few_lines_are_refused_with_how_many_are_missing(learned: Context, tmp_path: Path) -> None:
    with pytest.raises(TooFewLines) as refused:
        dataset.write(learned, tmp_path / "run", share=0.3)
    needed = learned.settings.train_min_lines
    fields = refused.value.fields
    assert (fields["have"], fields["needed"], fields["missing"]) == (3, needed, needed - 3)
    assert not (tmp_path / "run").exists()


def test_lines_that_were_corrected_a_moment_ago_are_waited_for(learned: Context, tmp_path: Path) -> None:
    before = write(learned, tmp_path / "before")
    page = written(learned, [f"{text} again" for text in TEXTS])
    correct(learned, page, dict.fromkeys(range(3), "x"))
    cutting = threading.Timer(0.2, lines.cut_lines, (learned, page.job_id, 1))
    cutting.start()
    made = write(learned, tmp_path / "run")
    cutting.join()
    known = sum(made.counts[split] for split in ("train", "dev", "holdout"))
    assert known == len(before.examples) + 3


def test_whoever_is_not_wanted_any_more_writes_no_dataset(learned: Context, tmp_path: Path) -> None:
    stop = Stop()
    stop.ask(Lost())
    with pytest.raises(Lost):
        dataset.write(learned, tmp_path / "run", share=0.3, min_lines=1, stop=stop)
    assert not list(tmp_path.glob("run/lines/*"))


def test_lines_that_nobody_cuts_out_are_told_of(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset, "STALLED_S", 0.0)
    correct(context, written(context, TEXTS), dict(enumerate(TEXTS)))
    with pytest.raises(TooFewLines, match="3 lines are still to be cut out"):
        write(context, tmp_path / "run")


@pytest.mark.parametrize(
    ("method", "trouble"),
    [("put", StorageFull()), ("get", Unavailable(what="The storage")), ("get", OSError(28, "full"))],
)
def test_what_is_full_or_away_is_an_error_and_leaves_no_dataset(
    learned: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, trouble: Exception
) -> None:
    def fail(*_: object) -> Iterator[None]:
        raise trouble if not isinstance(trouble, OSError) else OSError(28, "No space left on device")

    monkeypatch.setattr(Storage, method, fail)
    with pytest.raises((StorageFull, Unavailable)):
        write(learned, tmp_path / "run")
    with learned.db.read() as session:
        assert session.scalars(select(Dataset)).all() == []
    assert (tmp_path / "run" / "examples.jsonl").exists() == (method == "put")


def export(context: Context, folder: Path, *arguments: str) -> Result:
    settings = context.settings
    environment = {
        "DATABASE_URL": settings.database_url,
        "STORAGE_URL": settings.storage,
        "REDIS_URL": "",
        "TRAIN_MIN_LINES": "1",
    }
    return CliRunner().invoke(app, ["train", "export", str(folder), *arguments], env=environment)


def test_the_command_exports_the_same_dataset(learned: Context, tmp_path: Path) -> None:
    made = write(learned, tmp_path / "run")
    for arguments, target in ([], "out"), (["--zip"], "out.zip"):
        done = export(learned, tmp_path / "out", *arguments)
        assert done.exit_code == 0, done.output
        assert made.sha256 in done.stdout and "not read as handwriting" in done.stdout
        assert "unverified lines" in done.stdout and str(tmp_path / target) in done.stdout
    assert read_manifest(tmp_path / "out" / "manifest.jsonl") == made.examples
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert sha256_of(archive.read("manifest.jsonl")) == made.sha256
        assert len(archive.namelist()) == 1 + len(made.examples)
    assert LeftOut.PAGE_NOT_VERIFIED in made.counts["left_out"]
    refused = export(learned, tmp_path / "out.zip" / "out")
    assert refused.exit_code == 1 and "out.zip/out: Not a directory." in refused.stderr


def test_nothing_to_export_and_a_folder_in_use_are_sentences(context: Context, tmp_path: Path) -> None:
    nothing = export(context, tmp_path / "out")
    assert nothing.exit_code == 1 and "nothing to export" in nothing.stderr
    assert not (tmp_path / "out").exists()
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").touch()
    used = export(context, tmp_path / "used")
    assert used.exit_code == 64 and "is there already" in used.stderr
