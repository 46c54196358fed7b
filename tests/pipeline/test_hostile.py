"""Files made to do harm: each gives pages or a clean error, within bounded time and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = Path(os.environ.get("COPYIST_SAMPLES", ROOT.parent / "shared" / "samples"))
MEMORY = 4 << 30
SECONDS_A_FILE = 5.0

READ_ALL = r"""
import json, re, resource, sys, time
from pathlib import Path
from copyist.errors import CopyistError
from copyist.media import check_header
from copyist.pipeline.intake import inspect
from copyist.pipeline.render import PageSource, page_picture
from copyist.pipeline.textlayer import read_text_layer
from copyist.pipeline.upright import find_stance

resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]), int(sys.argv[2])))
LIMIT = 100_000_000

def read(path):
    kind = check_header(path, LIMIT)
    pages = inspect(path, kind, max_pages=1000, max_pixels=LIMIT).pages
    with PageSource(path, kind, max_pixels=LIMIT) as source:
        for number in range(1, pages + 1):
            read_text_layer(source, number)
            image = source.image(number, 300)
            assert image.width * image.height <= LIMIT
            find_stance(image.pixels)
            page_picture(path, kind, number, max_pixels=LIMIT)
    return pages

for path in sorted(Path(sys.argv[1]).iterdir()):
    started = time.process_time()
    try:
        found = {"pages": read(path)}
    except CopyistError as error:
        found = {"code": error.code, "detail": error.detail}
    except BaseException as error:
        found = {"broken": repr(error)}
    # Not ru_maxrss: that counts what the process that started this one held.
    peak = int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])
    print(json.dumps({"file": path.name, "seconds": time.process_time() - started, "peak_kb": peak, **found}))
"""


def test_every_hostile_file_gives_pages_or_a_clean_error() -> None:
    if not (SAMPLES / "hostile").is_dir():
        pytest.skip(f"the hostile samples are not in {SAMPLES}")
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL, str(SAMPLES / "hostile"), str(MEMORY)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    outcomes = {found["file"]: found for found in map(json.loads, done.stdout.splitlines())}
    for entry in json.loads((SAMPLES / "hostile" / "manifest.json").read_text()):
        found = outcomes[entry["file"]]
        assert "broken" not in found, found
        assert found["seconds"] < SECONDS_A_FILE, found
        if entry["expect"] == "accept":
            assert found.get("pages"), found
        elif entry["expect"] == "reject":
            assert found.get("code"), found
            assert str(SAMPLES) not in found["detail"], found
    assert max(found["peak_kb"] for found in outcomes.values()) < 1_000_000
