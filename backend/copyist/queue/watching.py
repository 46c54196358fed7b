"""Flower's application: that of those who read no page, with a stop that no thread can hold up.

``celery -A copyist.queue.watching flower`` finds ``app`` here; ``copyist flower`` says the rest of it.
"""

from __future__ import annotations

import atexit
import os
from types import FrameType

from flower import command

from copyist.queue.aside import app as app


def _stop(_number: int, _frame: FrameType | None) -> None:
    """Save what Flower remembers, and end.

    Python's own way would first wait for threads that ask a broker which may be away, and might never come to saving.
    """
    atexit._run_exitfuncs()
    os._exit(0)


command.sigterm_handler = _stop
