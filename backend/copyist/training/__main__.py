"""``python -m copyist.training train|evaluate FOLDER``: one of the two processes of a run (``order``)."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from copyist import log
from copyist.training.events import own_output

_PROCESSES = {"train": "copyist.training.trainer", "evaluate": "copyist.training.evaluate"}
"""Only the one that is asked for is imported: whoever evaluates must not have loaded peft."""


def main() -> int:
    """Do what is asked for; the exit code is that of the process."""
    parser = argparse.ArgumentParser(prog="python -m copyist.training", description=__doc__)
    parser.add_argument("process", choices=_PROCESSES)
    parser.add_argument("folder", type=Path)
    asked = parser.parse_args()
    own_output()
    log.setup()
    return int(importlib.import_module(_PROCESSES[asked.process]).main(asked.folder))


if __name__ == "__main__":
    sys.exit(main())
