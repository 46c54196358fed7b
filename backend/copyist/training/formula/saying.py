"""How the processes of formulas end: with a sentence for whoever started them, and an exit code."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from copyist import log as logs
from copyist.engines.base import NotReady, Stop
from copyist.engines.checkpoints import CheckpointUnusable
from copyist.errors import CopyistError
from copyist.training.events import Failed, Stopped, as_failure

log = logging.getLogger(__name__)


def listening() -> Stop:
    """Asked to stop by a SIGTERM or Ctrl-C; the second time the process ends at once."""
    stop = Stop()

    def leave(number: int, _: FrameType | None) -> None:
        stop.ask(Stopped())
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    return stop


def in_words(work: Callable[[], Any], *, stopped: str = "Stopped.") -> int:
    """Do ``work``; what goes wrong is a sentence on the standard error and an exit code that is not 0.

    ``stopped`` is the sentence for whoever asked for an end, which is 143, as a shell counts a SIGTERM.
    """
    logs.setup()
    try:
        work()
    except Stopped:
        sys.stderr.write(f"{stopped}\n")
        return 128 + signal.SIGTERM
    except (CheckpointUnusable, NotReady) as error:
        said = str(error)
    except (Failed, CopyistError) as error:
        said = error.detail
    except Exception as error:
        failure = as_failure(error)
        log.error("failed as %s", failure.code, exc_info=error)
        said = failure.detail
    else:
        return 0
    sys.stderr.write(f"{said}\n")
    return 1
