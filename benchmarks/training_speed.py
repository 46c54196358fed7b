"""How much longer would transformers' own trainer take for a run, and would it read better in the end?

The plain trainer is the usual recipe: ``Seq2SeqTrainer``, LoRA in all attention layers of encoder and decoder, pictures
prepared and the whole encoder computed in each epoch. Both learn the same lines (general ones mixed in) as often, in
batches of the same size, on one thread, and read the same dev lines greedily after each epoch. First on a model of
the shape of ``trocr-small`` with random weights: seconds of a few steps, and what a run of 500 lines would take by
them. Then on a small model that can read (``--base FOLDER``, as ``benchmarks.adaptation`` makes one): CER of both on
unseen lines of the hand. Needs what ``copyist[training]`` installs.
"""

from __future__ import annotations

from benchmarks.report import Figure

ABOUT = "a training run on a CPU, against transformers' trainer with the same lines, epochs and batches"


def measure(quick: bool) -> list[Figure]:
    """Time single steps of both on the real shape; run both to the end on a small model, where one is given."""
    # Other benchmarks run where there is no torch.
    from benchmarks.training_speed_study import study

    return study(quick=quick)
