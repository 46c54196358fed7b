"""Stands in for ``python -m copyist.training``: it trains nothing, and does whatever a test wants of it.

``<data>/training/fake.json`` says how each program behaves (``train`` and ``evaluate``: one of the functions below),
and holds what they leave behind. Nothing of Copyist is imported, so that it starts at once.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

FOLDER = Path(sys.argv[2]) if len(sys.argv) > 2 else Path()
CONTROL = FOLDER.parent / "fake.json"


def tell(**event: Any) -> None:
    print(json.dumps(event), flush=True)


def step(number: int) -> None:
    tell(event="step", step=number, steps=4, epoch=1, loss=1 / number, learning_rate=1e-4, seconds=0.01)


def fine(wanted: dict[str, Any]) -> None:
    """Do all that is expected, at once."""
    if sys.argv[1] == "evaluate":
        tell(event="phase", phase="holdout")
        (FOLDER / "evaluation.json").write_text(json.dumps(wanted["evaluation"]))
        return
    print("a log line", file=sys.stderr)
    tell(event="phase", phase="training", device="cpu")
    for number in (1, 2):
        step(number)
    tell(event="epoch", epoch=1, dev_cer=0.25)
    (FOLDER / "merged").mkdir(exist_ok=True)
    for name, content in wanted["files"].items():
        (FOLDER / "merged" / name).write_text(content)
    (FOLDER / "environment.json").write_text(json.dumps(dict(os.environ)))
    (FOLDER / "trained.json").write_text(json.dumps(wanted["trained"]))


def wait(wanted: dict[str, Any]) -> None:
    """Be at it until the test says ``go``."""
    step(1)
    while not (FOLDER.parent / "go").exists():
        time.sleep(0.01)
    fine(wanted)


def deaf(wanted: dict[str, Any]) -> None:
    """Hear no SIGTERM, with a child that hears none either."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = os.fork()
    if child:
        (FOLDER.parent / "child").write_text(str(child))
        step(1)
    time.sleep(600)


def die(wanted: dict[str, Any]) -> None:
    """Be killed after a checkpoint; the next attempt goes on from it."""
    if (FOLDER / "checkpoint").exists():
        step(3)
        fine(wanted)
        return
    step(1)
    (FOLDER / "checkpoint").mkdir()
    os.kill(os.getpid(), signal.SIGKILL)


def die_always(wanted: dict[str, Any]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fail(wanted: dict[str, Any]) -> None:
    tell(event="failed", code="out_of_memory", detail="The memory ran out.")
    sys.exit(1)


def crash(wanted: dict[str, Any]) -> None:
    print("this is no event")
    raise RuntimeError("a bug")


if __name__ == "__main__":
    control = json.loads(CONTROL.read_text())
    globals()[control.get(sys.argv[1], "fine")](control)
