"""``copyist correct``: what it sends, and what it says of what came of it."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Run
from tests.test_client import Reply, problem, scripted

REPORT = {"corrected": 2, "confirmed": 30, "unchanged": 1, "lines": [], "unmatched": [], "unmatched_text": []}


def test_it_sends_the_file_and_tells_what_came_of_it(copyist: Run, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("Then we saw\n")
    left = [{"id": f"j.1.{line}", "page": 1, "line": line, "text": f"line {line}"} for line in range(30)]
    told = REPORT | {"unmatched": left, "outdated": left[:1], "unmatched_text": ["a new one"]}
    with scripted(Reply(body=told)) as server:
        done = copyist(
            "correct", "j", "note.txt", "--url", server.url, "--pages", "2", "--no-confirm", "--api-key", "ck_x"
        )
    ((method, path, headers, body),) = server.asked
    assert (method, path, body) == ("POST", "/api/jobs/j/corrections?confirm_unchanged=false&pages=2", b"Then we saw\n")
    assert headers["X-API-Key"] == "ck_x"
    assert (done.returncode, done.stdout) == (0, "2 lines were corrected, 30 confirmed, 1 told nothing new.\n")
    assert ("30 lines are not in the text" in done.stderr, "  page 1: line 19\n" in done.stderr) == (True, True)
    assert "1 lines are in the text as they were before" in done.stderr
    assert ("line 20" in done.stderr, "and 10 more" in done.stderr, "  a new one" in done.stderr) == (False, True, True)


def test_a_refusal_is_one_sentence(copyist: Run, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("something else\n")
    with scripted(problem(422, "lines_do_not_match")) as server:
        done = copyist("correct", "j", "note.txt", "--url", server.url)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "Because of lines_do_not_match.\n")
    done = copyist("correct", "j", "missing.txt", "--url", "http://127.0.0.1:9")
    assert (done.returncode, len(done.stderr.splitlines()), "cannot be opened" in done.stderr) == (2, 1, True)
