"""``python -m copyist.training.formula PROCESS ORDER``: a process of its own, which a JSON object tells what to do.

Processes that draw formulas are started from this one and import nothing of it: a module of this name is left alone.
"""

from __future__ import annotations

import importlib
import sys

_PROCESSES = {
    "train": "copyist.training.formula.trainer",
    "evaluate": "copyist.training.formula.examiner",
    "generate": "copyist.training.formula.maker",
    "export": "copyist.training.formula.exporter",
}


def main() -> int:
    """Do what the first argument names, as the second says; the exit code of the process."""
    name, order = sys.argv[1:3]
    code: int = importlib.import_module(_PROCESSES[name]).main(order)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
