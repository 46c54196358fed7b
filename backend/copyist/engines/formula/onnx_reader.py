"""Reads formulas with ONNX Runtime, on a CPU, from ``encoder.onnx`` and ``decoder.onnx``; no torch is needed.

Both files come from ``training.formula.export``. The encoder gives keys and values of the picture, (batch, heads,
places, width / heads) for each layer; the decoder takes these, a token and the keys and values of those before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime

from copyist.engines.formula.decoding import Floats, Integers
from copyist.engines.formula.reader import ModelFolder, ModelReader, Search

ENCODER, DECODER = "encoder.onnx", "decoder.onnx"
PICTURES, TOKENS, POSITION, LOGITS = "pictures", "tokens", "position", "logits"
_KEPT = ("cross", "past", "grown")
_ERRORS_ONLY = 3


class OnnxReader(ModelReader):
    """A model in memory. Its answers are the same however many pictures are read at once."""

    at_once = 8
    """Four rows cost twice as much as one: the weights go through the processor once for all of them."""

    def __init__(self, folder: Path, search: Search | None = None, *, threads: int = 1) -> None:
        """Raises ``NotReady`` for a folder that holds no model of ours, or one that is damaged."""
        model = ModelFolder.open(folder)
        super().__init__(model, OnnxDecoder(model, threads=threads), search)


@dataclass
class _State:
    """Keys and values of the pictures and of what is written, by the names of the decoder's inputs.

    ``shown`` has the number of the picture that each row sees.
    """

    shown: list[int]
    cross: dict[str, onnxruntime.OrtValue]
    past: dict[str, onnxruntime.OrtValue]


class OnnxDecoder:
    """A ``Decoder`` on two sessions of ONNX Runtime."""

    def __init__(self, model: ModelFolder, *, threads: int = 1) -> None:
        """``threads`` are for the encoder: a step of the decoder is too small to be shared. Raises ``NotReady``."""
        layers = model.config.layers
        self._cross, self._past, self._grown = cross_names(layers), past_names(layers), grown_names(layers)
        self._encoder = _session(model, ENCODER, threads, [PICTURES], self._cross)
        self._decoder = _session(
            model, DECODER, 1, [TOKENS, POSITION, *self._past, *self._cross], [LOGITS, *self._grown]
        )
        self._heads, self._each = model.config.heads, model.config.width // model.config.heads
        written = self._decoder.get_outputs()[0].shape[-1]
        if written != len(model.vocabulary):
            raise model.refused(DECODER, f"knows {written} tokens and its vocabulary.json {len(model.vocabulary)}")

    def cross(self, pictures: Floats) -> _State:
        """See ``Decoder``. Pictures are encoded one by one: together they are no faster, and int8 would mix them."""
        each = [
            self._encoder.run_with_ort_values(self._cross, {PICTURES: _value(pictures[number : number + 1])})
            for number in range(len(pictures))
        ]
        cross = [parts[0] if len(parts) == 1 else _value(_rows(parts)) for parts in zip(*each, strict=True)]
        nothing = np.zeros((len(pictures), self._heads, 0, self._each), np.float32)
        return _State(
            shown=list(range(len(pictures))),
            cross=dict(zip(self._cross, cross, strict=True)),
            past={name: _value(nothing) for name in self._past},
        )

    def step(self, tokens: Integers, position: int, state: _State) -> Floats:
        """See ``Decoder``."""
        fed = {TOKENS: _value(tokens), POSITION: _value(np.array([position])), **state.past, **state.cross}
        logits, *grown = self._decoder.run_with_ort_values([LOGITS, *self._grown], fed)
        state.past = dict(zip(self._past, grown, strict=True))
        found: Floats = logits.numpy()
        return found

    def reorder(self, state: _State, rows: Integers) -> _State:
        """See ``Decoder``."""
        shown = [state.shown[row] for row in rows.tolist()]
        # The ways of a beam see one picture: as long as their number stays, only what is written moves.
        cross = state.cross if shown == state.shown else _taken(state.cross, rows)
        return _State(shown, cross, _taken(state.past, rows))


def cross_names(layers: int) -> list[str]:
    """Names of what the decoder sees of the picture, keys and values of each layer."""
    return _names("cross", layers)


def past_names(layers: int) -> list[str]:
    """Names of what the decoder keeps of the tokens before."""
    return _names("past", layers)


def grown_names(layers: int) -> list[str]:
    """Names of the same with one token more, as they come out."""
    return _names("grown", layers)


def _names(what: str, layers: int) -> list[str]:
    return [f"{what}_{part}_{number}" for number in range(layers) for part in ("keys", "values")]


def _session(
    model: ModelFolder, file: str, threads: int, inputs: Sequence[str], outputs: Sequence[str]
) -> onnxruntime.InferenceSession:
    path = model.folder / file
    if not path.is_file():
        raise model.refused(file, "is missing")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = _ERRORS_ONLY
    # Threads that wait by turning round and round take the time of those who work.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        # ONNX Runtime has a dozen classes for what is wrong with a file, without a common one of its own.
        raise model.refused(file, "is damaged or no ONNX model that can be run here") from error
    found = [one.name for one in session.get_inputs()], [one.name for one in session.get_outputs()]
    if sorted(found[0]) != sorted(inputs) or found[1] != list(outputs) or not _fits(model, session):
        raise model.refused(file, "is not of the model that its config.json describes")
    return session


def _fits(model: ModelFolder, session: onnxruntime.InferenceSession) -> bool:
    """Whether keys and values have the heads of ``model``; a dimension without a number may be any."""
    wanted = (model.config.heads, model.config.width // model.config.heads)
    kept = [one.shape for one in (*session.get_inputs(), *session.get_outputs()) if one.name.startswith(_KEPT)]
    sides = [(shape[1], shape[3]) if len(shape) == 4 else (0, 0) for shape in kept]
    return all(
        not isinstance(side, int) or side == right for pair in sides for side, right in zip(pair, wanted, strict=True)
    )


def _value(array: Floats | Integers) -> onnxruntime.OrtValue:
    return onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array))


def _rows(parts: Sequence[onnxruntime.OrtValue]) -> Floats:
    return np.concatenate([part.numpy() for part in parts])


def _taken(values: dict[str, onnxruntime.OrtValue], rows: Integers) -> dict[str, onnxruntime.OrtValue]:
    return {name: _value(value.numpy()[rows]) for name, value in values.items()}
