"""Download dots.ocr into ./weights/DotsOCR, the same as ``copyist weights pull dots``; with --mocr dots.mocr.

Run it from the folder of the project, with the Python that Copyist is installed in:
``.venv/bin/python backend/tools/download_dots_model.py``. WEIGHTS_DIR, HF_ENDPOINT and HF_TOKEN count here, too.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
try:
    from copyist.cli.weights import app
except ModuleNotFoundError as error:
    sys.exit(f"The package {error.name} is missing. Run `make setup`, then this with .venv/bin/python.")


def main() -> None:
    """Pull the one or the other."""
    parser = argparse.ArgumentParser(description="Download the weights of dots.ocr; a download that was cut goes on.")
    parser.add_argument("--mocr", action="store_true", help="the newer dots.mocr, into weights/DotsMOCR")
    parser.add_argument("--revision", default="", help="another revision than the pinned one")
    asked = parser.parse_args()
    name = "dots-mocr" if asked.mocr else "dots"
    app(["pull", name, *(["--revision", asked.revision] if asked.revision else [])])


if __name__ == "__main__":
    main()
