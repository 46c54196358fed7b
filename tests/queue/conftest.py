"""What a process of the queue works with, on both databases, with one worker that is alive."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from copyist.db import presence
from copyist.queue import context as contexts
from copyist.queue.context import Context
from copyist.settings import Settings

ENGINES = {"mock": {"ready": True, "languages": [], "modes": ["document"], "needs_gpu": False}}


@pytest.fixture
def context(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Context]:
    settings = Settings(
        _env_file=None,
        data_dir=tmp_path,
        database_url=database_url,
        redis_url=redis_url,
        ocr_backend="mock",
        resend_after_s=0.5,
        sweep_interval_s=1,
    )
    built = contexts.build(settings)
    with built.db.write() as session:
        presence.show(session, "w", queues=["cpu"], concurrency=1, engines=ENGINES)
    yield built
    built.db.close()
