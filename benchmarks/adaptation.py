"""Does it learn a hand that it has never seen, and does it forget the others?

A small model of TrOCR's shape is trained on drawn handwriting of many hands. Then come hands with letter forms that it
never saw, bent more than most: some of their lines are "corrected", the model is tuned on these, by the trainer (LoRA)
and in all of its weights, and reads other lines of the same hand, and lines of many hands. ``--base FOLDER`` takes a
base that is there; else it is trained first, in half an hour to an hour. The rest takes half an hour, and needs what
``copyist[training]`` installs.
"""

from __future__ import annotations

from benchmarks.report import Figure

ABOUT = "a hand that the model has never seen, before and after its corrections"


def measure(quick: bool) -> list[Figure]:
    """Tune the base to every hand with every number of lines, by both methods."""
    # Other benchmarks run where there is no torch.
    from benchmarks.adaptation_study import study

    return study(quick=quick)
