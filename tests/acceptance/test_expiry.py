"""Jobs go by themselves, under two beats at once, and take along only what nobody else has."""

from __future__ import annotations

import hashlib
import re
import time
from datetime import datetime, timedelta
from pathlib import Path

from copyist import storage
from copyist.storage import Storage
from tests.acceptance.conftest import Start
from tests.service import Service

KEEP_DAYS = 0.00005


def await_gone(service: Service, job_id: str, seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while service.client.get(f"/api/jobs/{job_id}").status_code != 410:
        assert time.monotonic() < until, "the job is still there"
        time.sleep(0.1)


def test_jobs_go_when_their_time_is_over(start: Start, own_samples: Path, tmp_path: Path) -> None:
    files, scan, letter = (tmp_path / "files").as_uri(), own_samples / "scan.pdf", own_samples / "letter.png"
    settings = {"STORAGE_URL": files, "KEEP_JOBS_DAYS": str(KEEP_DAYS), "SWEEP_INTERVAL_S": "0.5"}
    service = start(**settings).start("beat-2")
    waiting = service.upload(letter, engine="hang")
    alone, shared = service.read(scan), service.read(letter, engine="mock")
    ended, expires = (datetime.fromisoformat(alone[name]) for name in ("finished_at", "expires_at"))
    assert expires - ended == timedelta(days=KEEP_DAYS)
    for job in (alone, shared):
        await_gone(service, job["id"])
    for path in ("/pages/1", "/result.txt"):
        assert service.client.get(f"/api/jobs/{alone['id']}{path}").status_code == 410
    kept = service.client.get(f"/api/jobs/{waiting}").json()
    assert (kept["status"], kept["expires_at"]) == ("processing", None)
    keys = {path: storage.file_key(hashlib.sha256(path.read_bytes()).hexdigest()) for path in (scan, letter)}
    assert [Storage(files).exists(keys[path]) for path in (scan, letter)] == [False, True]

    service.client.delete(f"/api/jobs/{waiting}")
    await_gone(service, waiting)
    assert not Storage(files).exists(keys[letter])
    until = time.monotonic() + 30
    while told(service) != [3, 0]:
        # A beat tells after it has deleted.
        assert time.monotonic() < until, told(service)
        time.sleep(0.1)


def told(service: Service) -> list[int]:
    """How many jobs both beats say they deleted, and how many they could not."""
    found = [re.findall(r"(\d+) jobs were deleted.*; (\d+) could", service.log(beat)) for beat in ("beat", "beat-2")]
    return [sum(int(counts[place]) for beat in found for counts in beat) for place in (0, 1)]
