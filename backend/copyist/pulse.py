"""A sign of life, for whoever asks whether a part is well: a container engine, a supervisor.

A part writes it every few seconds into a small file; ``python -m copyist.pulse worker|trainer|beat|api|flower`` reads
it and ends with 0, or says in one line what is wrong and ends with 1. API and Flower need no file: they answer
``/readyz`` and ``/healthcheck``. Only the standard library is used, so that a check made every few seconds costs next
to nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

OLDER_THAN_S = 30.0
"""A part that is well shows itself every five seconds, and a sweep may take a while."""
ANSWER_S = 5.0


def beat(part: str, problem: str | None) -> None:
    """Write down that ``part`` is alive, and the ``problem`` that it has; never fails."""
    place = _file(part)
    fresh = place.with_name(f"{place.name}.{os.getpid()}")
    try:
        fresh.write_text(json.dumps({"at": time.time(), "problem": problem}), encoding="utf-8")
        fresh.replace(place)
    except OSError:
        # No place to write is no reason to stop working: the check finds nothing and says so.
        return


def ailment(part: str, older_than_s: float = OLDER_THAN_S) -> str | None:
    """What is wrong with ``part`` in one line, ``None`` when it is well."""
    if part == "api":
        return _ask("The API", f"{os.environ.get('PORT') or 8000}/readyz")
    if part == "flower":
        path = f"{os.environ.get('FLOWER_URL_PREFIX', '').strip('/')}/healthcheck".lstrip("/")
        return _ask("Flower", f"{os.environ.get('FLOWER_PORT') or 5555}/{path}")
    try:
        seen = json.loads(_file(part).read_text(encoding="utf-8"))
        age_s, problem = time.time() - seen["at"], seen["problem"]
    except FileNotFoundError:
        return "It has given no sign of life yet."
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"Its sign of life cannot be read ({type(error).__name__})."
    if age_s <= older_than_s:
        return str(problem) if problem else None
    silence = f"It has given no sign of life for {age_s:.0f} s"
    if not _broker_answers():
        return f"{silence}: the broker does not answer."
    return f"{silence}. The last was: {problem}" if problem else f"{silence}."


def _file(part: str) -> Path:
    return Path(tempfile.gettempdir()) / f"copyist-{part}.pulse"


def _broker_answers() -> bool:
    """Whether ``REDIS_URL`` can be reached; a part that lost its broker is busy with finding it again.

    Where that cannot be told, ``True``.
    """
    from urllib.parse import unquote, urlsplit

    try:
        url = urlsplit(os.environ.get("REDIS_URL", ""))
        if url.scheme == "unix":
            with closing(socket.socket(socket.AF_UNIX)) as probe:
                probe.settimeout(ANSWER_S)
                probe.connect(unquote(url.path))
        elif url.hostname:
            socket.create_connection((url.hostname, url.port or 6379), ANSWER_S).close()
    except OSError:
        return False
    except ValueError:
        return True
    return True


def _ask(whom: str, where: str) -> str | None:
    """What is wrong with the answer at a port and path of this machine."""
    from http.client import HTTPException
    from urllib import error, request

    # A proxy that the environment names has no way to this machine's own addresses.
    opener = request.build_opener(request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{where}", timeout=ANSWER_S):
            return None
    except error.HTTPError as answer:
        return _problems(answer.read()) or f"{whom} is not ready: it answers {answer.code}."
    except (OSError, HTTPException) as failure:
        return f"{whom} does not answer ({getattr(failure, 'reason', None) or type(failure).__name__})."


def _problems(body: bytes) -> str:
    try:
        return " ".join(json.loads(body)["problems"])
    except (ValueError, KeyError, TypeError):
        return ""


def main() -> None:
    """Check the part that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m copyist.pulse", description="Is a part of Copyist well?")
    parser.add_argument("part", choices=("worker", "trainer", "beat", "api", "flower"))
    parser.add_argument("--older-than", type=float, default=OLDER_THAN_S, metavar="SECONDS")
    asked = parser.parse_args()
    if problem := ailment(asked.part, asked.older_than):
        sys.exit(" ".join(problem.split()))


if __name__ == "__main__":
    main()
