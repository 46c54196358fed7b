"""One thread per process: pages are shared out over processes, and engines start no parallelism of their own.

Imports nothing, because the libraries concerned read these names when they are loaded.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping

SINGLE_THREADED = (
    *("OMP_THREAD_LIMIT", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),
    "OPENCV_FOR_THREADS_NUM",
)


def limit_threads(environment: MutableMapping[str, str] = os.environ) -> None:
    """Tell numeric libraries to use one thread, unless somebody said otherwise; call it before they are imported."""
    for name in SINGLE_THREADED:
        environment.setdefault(name, "1")
    environment.setdefault("ORT_DISABLE_TELEMETRY", "1")
