"""``copyist weights``: pulled from a hub of the tests' own, cut, spoiled, offline, and checked."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pty
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

from copyist.cli import app
from copyist.engines.weights import WeightsError
from copyist.engines.weights.download import Patience
from copyist.engines.weights.hub import Hub
from copyist.engines.weights.manifest import Entry, find_manifest, read_manifest
from copyist.engines.weights.pull import Puller
from copyist.engines.weights.record import read_record
from copyist.engines.weights.state import Presence, look_at, verify
from copyist.errors import CopyistError
from tests.fake_hub import COMMIT, REPO, FakeHub
from tests.servers import ROOT, free_port, process_environment

TENSORS = b"\x45\x00\x00\x00\x00\x00\x00\x00" + (
    b'{"a":{"dtype":"U8","shape":[300000],"data_offsets":[0,300000]}}'.ljust(0x45) + b"\7" * 300_000
)
FILES = {
    "config.json": b'{"model_type": "tiny"}',
    "model.safetensors": TENSORS,
    "tokenizer_config.json": b"{}",
    "merges.txt": b"a b\n",
    "dots.ocr LICENSE AGREEMENT": b"Be good.\n",
    "modeling.py": b"raise SystemExit('code of a repository is not fetched')\n",
    "pytorch_model.bin": b"not needed beside safetensors",
    "onnx/model.onnx": b"in a folder of its own",
    "README.md": b"# A model\n",
}
WANTED = {"config.json", "model.safetensors", "tokenizer_config.json", "merges.txt", "dots.ocr LICENSE AGREEMENT"}
PTH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." + b"\1" * 50_000
QUICK = Patience(tries=3, pause_s=0.001)
MODEL = Entry(name="model", purpose="", licence="MIT", folder="TheModel", repo=REPO, revision=COMMIT)


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub(files=dict(FILES)) as running:
        yield running


@pytest.fixture
def root(tmp_path: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A weights folder with a manifest of its own, in an empty working folder, and settings that lead to the hub."""
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("net.pth", PTH)
    hub.releases["/releases/v1/net.zip"] = zipped.getvalue()
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "manifest.toml").write_text(
        f"""
        [model]
        purpose = "Reads"
        licence = "MIT"
        folder = "TheModel"
        size = "0.3 GB"
        repo = "{REPO}"

        [limited]
        purpose = "Reads papers"
        licence = "CC-BY-NC-4.0"
        consent = "Not for commercial use."
        folder = "Limited"
        repo = "{REPO}"

        [net]
        purpose = "Reads print"
        licence = "Apache-2.0"
        folder = "nets"
        [[net.releases]]
        name = "net.pth"
        url = "{hub.url}/releases/v1/net.zip"
        md5 = "{hashlib.md5(PTH).hexdigest()}"
        """
    )
    monkeypatch.chdir(tmp_path)
    for name, value in {"WEIGHTS_DIR": "weights", "HF_ENDPOINT": hub.url, "HF_TOKEN": "", "NO_PROXY": "*"}.items():
        monkeypatch.setenv(name, value)
    return folder


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["weights", *arguments])


def pull(hub: FakeHub, root: Path, entry: Entry = MODEL, **changes: object) -> None:
    with httpx.Client(follow_redirects=True, trust_env=False, verify=False) as client:
        options = {"hub": Hub(hub.url), "patience": QUICK, **changes}
        Puller(root, client, **options).pull(entry)  # type: ignore[arg-type]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_pulls_what_a_checkpoint_is_made_of_and_writes_down_the_commit(root: Path) -> None:
    done = run("pull", "model")
    assert (done.exit_code, done.stdout) == (0, ""), done.stderr
    assert names(root / "TheModel") == {*WANTED, "pulled.json"}
    assert all((root / "TheModel" / name).read_bytes() == FILES[name] for name in WANTED)
    assert COMMIT in done.stderr
    assert "pins no commit" in done.stderr
    record = read_record(root / "TheModel", "model")
    assert record is not None
    assert (record.commit, record.asked) == (COMMIT, "main")
    assert {name: file.sha256 for name, file in record.files.items()} == {
        name: hashlib.sha256(FILES[name]).hexdigest() for name in WANTED
    }
    assert record.files["model.safetensors"].checked == "SHA-256 of the hub"
    assert record.files["config.json"].checked == "git's SHA-1 of the hub"


def test_pulls_a_release_out_of_its_archive(root: Path) -> None:
    assert run("pull", "net").exit_code == 0
    assert names(root / "nets") == {"net.pth", "pulled.json"}
    assert (root / "nets" / "net.pth").read_bytes() == PTH
    verified = run("verify", "net")
    assert (verified.exit_code, verified.stdout) == (0, "nets/net.pth is right (MD5 of the manifest)\n")


def test_pulling_again_fetches_nothing_that_is_right_and_mends_what_is_not(root: Path, hub: FakeHub) -> None:
    run("pull", "model")
    hub.asked.clear()
    (root / "TheModel" / "merges.txt").write_bytes(b"x y\n")
    assert run("pull", "model").exit_code == 0
    assert hub.fetched() == [("merges.txt", "")]
    assert (root / "TheModel" / "merges.txt").read_bytes() == FILES["merges.txt"]


def test_a_download_that_breaks_off_goes_on_where_it_stopped(root: Path, hub: FakeHub) -> None:
    hub.cut["model.safetensors"] = [100_000, 0, 50_000]
    pull(hub, root)
    ranges = [wanted for name, wanted in hub.fetched() if name == "model.safetensors"]
    assert ranges == ["", "bytes=100000-", "bytes=100000-", "bytes=150000-"]
    assert (root / "TheModel" / "model.safetensors").read_bytes() == TENSORS


def test_the_next_command_goes_on_where_the_last_one_gave_up(root: Path, hub: FakeHub) -> None:
    hub.cut["model.safetensors"] = [120_000, 0, 0, 0, 0]
    with pytest.raises(WeightsError, match=r"120,000 bytes that came are kept.*goes on from there"):
        pull(hub, root)
    assert look_at(MODEL, root).presence is Presence.PARTIAL
    assert not (root / "TheModel" / "config.json").exists(), "half a checkpoint is in nobody's way"
    hub.cut.clear()
    hub.asked.clear()
    pull(hub, root)
    assert ("model.safetensors", "bytes=120000-") in hub.fetched()
    assert "config.json" not in dict(hub.fetched())
    assert names(root / "TheModel") == {*WANTED, "pulled.json"}


def test_a_server_without_ranges_begins_again(root: Path, hub: FakeHub) -> None:
    hub.ranges = False
    hub.cut["model.safetensors"] = [100_000]
    pull(hub, root)
    assert (root / "TheModel" / "model.safetensors").read_bytes() == TENSORS


@pytest.mark.parametrize("left", [b"\0" * 1000, b"\0" * 400_000])
def test_a_part_of_something_else_is_thrown_away(root: Path, hub: FakeHub, left: bytes) -> None:
    hub.cut["model.safetensors"] = [10, 0, 0]
    with pytest.raises(WeightsError):
        pull(hub, root)
    (part,) = (root / "TheModel" / ".pulling" / "model").glob("model.safetensors*")
    part.write_bytes(left)
    hub.cut.clear()
    pull(hub, root)
    assert (root / "TheModel" / "model.safetensors").read_bytes() == TENSORS


def test_an_archive_that_is_whole_already_is_not_fetched_twice(root: Path, hub: FakeHub) -> None:
    entry = read_manifest(root / "manifest.toml")["net"]
    hub.cut["net.zip"] = [len(hub.releases["/releases/v1/net.zip"]) - 1, 0, 0]
    with pytest.raises(WeightsError):
        pull(hub, root, entry)
    (part,) = (root / "nets" / ".pulling" / "net").iterdir()
    part.write_bytes(hub.releases["/releases/v1/net.zip"] + b"too long")
    pull(hub, root, entry)
    assert (root / "nets" / "net.pth").read_bytes() == PTH


def test_busy_servers_are_asked_again(root: Path, hub: FakeHub) -> None:
    hub.answers["model.safetensors"] = [503, 429]
    pull(hub, root)
    assert names(root / "TheModel") == {*WANTED, "pulled.json"}


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_file_with_a_wrong_hash_is_refused_and_deleted(root: Path, hub: FakeHub, name: str) -> None:
    hub.spoil.add(name)
    done = run("pull", "model")
    assert done.exit_code == 1
    assert f"{name} arrived whole, but it is not the file it should be" in done.stderr
    assert "It was deleted" in done.stderr
    assert not list(root.rglob(f"{name}*"))
    hub.spoil.clear()
    assert run("pull", "model").exit_code == 0


def test_a_hash_of_the_manifest_comes_before_the_hubs(root: Path, hub: FakeHub) -> None:
    pinned = Entry(**{**vars(MODEL), "sha256": {"model.safetensors": "0" * 64}})
    with pytest.raises(WeightsError, match="SHA-256 of the manifest"):
        pull(hub, root, pinned)


@pytest.mark.parametrize("content", [b"<html>Not here</html>", None], ids=["no archive", "another file in it"])
def test_an_archive_with_something_else_is_refused(root: Path, hub: FakeHub, content: bytes | None) -> None:
    if content is None:
        zipped = io.BytesIO()
        with zipfile.ZipFile(zipped, "w") as archive:
            archive.writestr("../net.pth", b"evil")
        content = zipped.getvalue()
    hub.releases["/releases/v1/net.zip"] = content
    done = run("pull", "net")
    assert done.exit_code == 1
    assert "no ZIP archive with net.pth in it" in done.stderr
    assert not (root / "nets").exists()


def test_offline_it_names_the_host_and_what_to_do(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    done = run("pull", "model")
    assert done.exit_code == 1
    assert "127.0.0.1 cannot be reached" in done.stderr
    for way_out in ("HTTPS_PROXY", "HF_ENDPOINT", f"/{REPO}/tree/main", "weights/TheModel"):
        assert way_out in done.stderr
    assert not (root / "TheModel").exists()


@pytest.mark.parametrize(
    ("status", "said"), [(404, "--revision"), (401, "HF_TOKEN"), (403, "HF_TOKEN"), (500, "Try again later")]
)
def test_a_hub_that_refuses_is_understood(root: Path, hub: FakeHub, status: int, said: str) -> None:
    hub.answers["list"] = [status]
    done = run("pull", "model")
    assert (done.exit_code, said in done.stderr) == (1, True)


def test_another_revision_may_be_asked_for(root: Path, hub: FakeHub) -> None:
    assert run("pull", "model", "--revision", COMMIT).exit_code == 0
    assert hub.asked[0][0].endswith(f"/revision/{COMMIT}/list")
    unknown = run("pull", "model", "--revision", "refs/pr/9")
    assert unknown.exit_code == 1
    assert f"no revision refs/pr/9 of {REPO}" in unknown.stderr
    assert run("pull", "net", "--revision", "v2").exit_code == 1


def test_a_full_disk_is_seen_before_anything_is_fetched(root: Path, hub: FakeHub) -> None:
    with pytest.raises(WeightsError, match=r"too little room.*WEIGHTS_DIR"):
        pull(hub, root, free_bytes=lambda _: 100_200_000)
    assert hub.fetched() == []
    pull(hub, root, free_bytes=lambda _: 100_400_000)


def test_a_token_goes_to_the_hub_alone_and_is_never_shown(
    root: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.answers["merges.txt"] = [403]
    done = run("pull", "model")
    assert "hf_secret" not in done.output
    assert "hf_secret" not in repr(Hub(token="hf_secret"))
    sent = {path: headers.get("authorization") for path, headers in hub.asked}
    assert sent[f"/api/models/{REPO}/revision/main/list"] == "Bearer hf_secret"
    assert sent["/lfs/model.safetensors"] is None


def test_a_limited_licence_has_to_be_accepted(root: Path, hub: FakeHub) -> None:
    done = run("pull", "limited")
    assert done.exit_code == 2
    assert "CC-BY-NC-4.0" in done.stderr
    assert "--accept-licence" in done.stderr
    assert hub.asked == []
    assert run("pull", "limited", "--accept-licence").exit_code == 0
    assert (root / "Limited" / "config.json").is_file()


@pytest.mark.parametrize(("answer", "status"), [(b"y\n", 0), (b"n\n", 2)])
def test_on_a_terminal_it_asks_and_shows_how_far_it_is(root: Path, answer: bytes, status: int) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "copyist", "weights", "pull", "limited"]
    environment = process_environment(TERM="xterm", COLUMNS="200")
    running = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    os.write(ours, answer)
    shown = b""
    with suppress(OSError):  # Linux's way of saying that the other side has closed a terminal.
        while data := os.read(ours, 4096):
            shown += data
    os.close(ours)
    assert running.wait(30) == status
    assert b"Do you accept this?" in shown
    assert (b"limited model.safetensors" in shown) == (status == 0)
    assert (root / "Limited" / "config.json").is_file() == (status == 0)


def test_tensors_that_are_only_pickled_are_converted_once(root: Path, hub: FakeHub) -> None:
    import torch
    from safetensors.torch import load_file

    shared = torch.arange(6.0).reshape(2, 3)
    pickled = io.BytesIO()
    torch.save({"one": shared, "two": shared}, pickled)
    del hub.files["model.safetensors"]
    hub.files["pytorch_model.bin"] = pickled.getvalue()
    pull(hub, root)
    tensors = load_file(root / "TheModel" / "model.safetensors")
    assert tensors.keys() == {"one", "two"}
    assert all(torch.equal(tensor, shared) for tensor in tensors.values())
    assert not (root / "TheModel" / "pytorch_model.bin").exists()
    assert look_at(MODEL, root).presence is Presence.COMPLETE
    hub.asked.clear()
    pull(hub, root)
    assert hub.fetched() == []


def test_a_pickle_that_runs_code_is_not_converted(root: Path, hub: FakeHub, tmp_path: Path) -> None:
    import torch

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "owned"),)

    pickled = io.BytesIO()
    torch.save({"one": Evil()}, pickled)
    del hub.files["model.safetensors"]
    hub.files["pytorch_model.bin"] = pickled.getvalue()
    with pytest.raises(WeightsError, match="something else than tensors"):
        pull(hub, root)
    assert not (tmp_path / "owned").exists()


def test_what_another_revision_left_is_taken_away(root: Path, hub: FakeHub) -> None:
    pull(hub, root)
    (root / "TheModel" / "mine.txt").write_text("put there by somebody")
    del hub.files["merges.txt"]
    pull(hub, root)
    assert names(root / "TheModel") == {*WANTED - {"merges.txt"}, "pulled.json", "mine.txt"}


def test_names_that_lead_out_of_the_folder_are_passed_over(root: Path, hub: FakeHub) -> None:
    hub.files |= {"../evil.json": b"{}", ".hidden.json": b"{}", "a\\b.json": b"{}"}
    pull(hub, root)
    assert names(root / "TheModel") == {*WANTED, "pulled.json"}


def test_verify_names_the_file_that_is_wrong(root: Path) -> None:
    run("pull", "model")
    fine = run("verify")
    assert fine.exit_code == 0
    assert "TheModel/model.safetensors is right (SHA-256 of pulled.json)" in fine.stdout
    folder = root / "TheModel"
    (folder / "model.safetensors").write_bytes(TENSORS[:-1] + b"\0")
    (folder / "merges.txt").unlink()
    (folder / "config.json").write_bytes(b"{}")
    done = run("verify", "model")
    assert done.exit_code == 1
    assert "TheModel/model.safetensors is not the file it should be" in done.stdout
    assert "TheModel/merges.txt is missing" in done.stdout
    assert "TheModel/config.json is cut or was changed: 2 of 22 bytes are there" in done.stdout
    assert "copyist weights pull model" in done.stderr


def test_verify_says_what_it_cannot_know_of_files_put_there_by_hand(root: Path) -> None:
    folder = root / "TheModel"
    folder.mkdir()
    (folder / "config.json").write_bytes(b"{}")
    (folder / "model.safetensors").write_bytes(TENSORS)
    findings = list(verify(MODEL, root))
    assert [(one.file, one.fault) for one in findings] == [("config.json", ""), ("model.safetensors", "")]
    assert all("no hash is known" in one.by for one in findings)
    (folder / "model.safetensors").write_bytes(TENSORS[:1000])
    assert look_at(MODEL, root).presence is Presence.CUT
    assert run("verify", "model").exit_code == 1


def test_verify_fails_for_weights_that_are_not_here(root: Path) -> None:
    assert run("verify", "model").exit_code == 1
    nothing = run("verify")
    assert (nothing.exit_code, nothing.stdout) == (0, "No weights are in weights.\n")


def test_list_shows_what_is_here_whole_partial_and_cut(root: Path) -> None:
    assert state_of("model") == "absent"
    run("pull", "model")
    assert state_of("model") == "complete"
    (root / "TheModel" / "merges.txt").unlink()
    assert state_of("model") == "partial: merges.txt is missing"
    (root / "TheModel" / "model.safetensors").write_bytes(TENSORS[:-1])
    assert state_of("model").startswith("cut: model.safetensors")
    (root / "nets").mkdir()
    (root / "nets" / "net.pth").write_bytes(b"<html>")
    assert state_of("net") == "cut: net.pth is no file of PyTorch"


def state_of(name: str) -> str:
    done = run("list")
    assert done.exit_code == 0
    (row,) = [line for line in done.stdout.splitlines() if line.strip().startswith(f"{name} ")]
    return row.rpartition("  ")[2].strip() or row.rstrip().rpartition("  ")[2].strip()


def test_list_says_when_another_commit_is_here_than_the_manifest_pins(root: Path, hub: FakeHub) -> None:
    pull(hub, root)
    pinned = Entry(**{**vars(MODEL), "revision": "d" * 40})
    assert look_at(MODEL, root).reason == ""
    assert look_at(pinned, root).reason == "of commit c0ffee00, not dddddddd as in the manifest"


def test_a_folder_that_cannot_be_written_is_said(root: Path) -> None:
    (root / "TheModel").write_text("a file where the folder should be")
    done = run("pull", "model")
    assert (done.exit_code, "weights/TheModel cannot be written" in done.stderr) == (1, True)


def test_weights_that_there_are_not_are_refused_with_those_there_are(root: Path) -> None:
    done = run("pull", "modle")
    assert done.exit_code == 1
    assert 'no weights "modle". Use model, limited, net.' in done.stderr


@pytest.mark.parametrize(
    "manifest",
    [
        "[a",
        "[a]\npurpose = 'no source'\nlicence = ''\nfolder = 'a'",
        "[a]\npurpose = ''\nlicence = ''\nfolder = '../a'\nrepo = 'a/b'",
        "[a]\npurpose = ''\nlicence = ''\nfolder = 'a'\nrepo = 'a/b'\ncolour = 'red'",
    ],
)
def test_a_manifest_that_cannot_work_is_refused(root: Path, manifest: str) -> None:
    (root / "manifest.toml").write_text(manifest)
    done = run("list")
    assert done.exit_code == 1
    assert "manifest.toml" in done.stderr


def test_a_second_pull_of_the_same_waits_for_nobody(root: Path, hub: FakeHub) -> None:
    import fcntl

    hub.cut["model.safetensors"] = [10, 0, 0]
    with pytest.raises(WeightsError):
        pull(hub, root)
    (part,) = (root / "TheModel" / ".pulling" / "model").glob("model.safetensors*")
    with part.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(WeightsError, match="being pulled already"):
            pull(hub, root)


def test_the_tool_of_dots_pulls_the_same_into_its_folder(root: Path, hub: FakeHub) -> None:
    text = (root / "manifest.toml").read_text()
    (root / "manifest.toml").write_text(text.replace("[model]", "[dots-mocr]"))
    tool = ROOT / "backend" / "tools" / "download_dots_model.py"
    done = subprocess.run([sys.executable, tool, "--mocr"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (root / "TheModel" / "model.safetensors").read_bytes() == TENSORS


class TestTheManifestOfTheSource:
    entries = read_manifest(ROOT / "weights" / "manifest.toml")

    def test_has_what_the_engines_need(self) -> None:
        assert {"dots", "dots-mocr", "easyocr", "nougat-small", "nougat-base"} <= self.entries.keys()
        assert {"trocr-small-handwritten", "trocr-base-handwritten"} <= self.entries.keys()
        assert self.entries["dots"].folder == "DotsOCR"
        assert self.entries["dots"].revision == "c0111ce6bc07803dbc267932ffef0ae3a51dc951"
        assert all(self.entries[name].consent for name in ("nougat-small", "nougat-base"))

    def test_is_found_where_the_weights_folder_has_none(self, tmp_path: Path) -> None:
        assert find_manifest(tmp_path) == ROOT / "weights" / "manifest.toml"

    def test_invents_no_hash_of_the_hub(self) -> None:
        text = tomllib.loads((ROOT / "weights" / "manifest.toml").read_text())
        assert all("sha256" not in entry for entry in text.values() if "repo" in entry)


def test_errors_of_the_settings_are_sentences(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "none")
    done = run("list")
    assert (done.exit_code, "PORT cannot work" in done.stderr) == (1, True)
    assert not isinstance(done.exception, CopyistError)


def test_what_was_written_down_by_somebody_else_is_passed_over(root: Path) -> None:
    run("pull", "model")
    facts = {"source": "", "commit": "", "asked": "", "pulled_at": ""}
    for name, size in (("../mine.txt", 1), ("config.json", "1")):
        led_astray = {**facts, "files": {name: {"size": size, "sha256": "", "checked": ""}}}
        (root / "TheModel" / "pulled.json").write_text(json.dumps({"model": led_astray}))
        (root / "mine.txt").write_text("not of this model")
        assert read_record(root / "TheModel", "model") is None
        assert run("pull", "model").exit_code == 0
        assert (root / "mine.txt").exists()
    for content in ("", "[]", '{"model": 1}', '{"model": {"files": {"config.json": 3}}}', json.dumps({"model": {}})):
        (root / "TheModel" / "pulled.json").write_text(content)
        assert read_record(root / "TheModel", "model") is None
        assert look_at(MODEL, root).reason.startswith("not pulled by this command")
