"""Model files: what there is, where it comes from, how it gets here, and whether it is what it should be.

A folder of weights holds ``manifest.toml``, which is part of the source, and below it one folder for each model. What
was pulled is written down beside the files, in ``pulled.json``, with the SHA-256 of each.
Nothing here needs numpy or a model's library: weights can be pulled on a machine that never reads a page.
"""


class WeightsError(Exception):
    """Something about the weights cannot be done; the message is the reason and the way out, for a person."""


class Unreachable(WeightsError):
    """A host does not answer; pulling tells what to do without it."""
