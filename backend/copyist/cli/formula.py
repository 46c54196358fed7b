"""``copyist formula`` and ``copyist train formula``: make formulas, learn to read them, say how well they are read."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from copyist.cli.parts import become, configured, stop
from copyist.engines.formula.config import PRESETS
from copyist.settings import Settings
from copyist.training.formula.order import EvaluationOrder, ExportOrder, FormulaOrder, GenerationOrder, Recipe

app = typer.Typer(help="Formulas: make examples, say how well a model reads them.", no_args_is_help=True)

PACKAGES = ("torch", "timm", "cv2", "Levenshtein")
_PROCESS = "copyist.training.formula"
_DEFAULTS = Recipe()

Data = Annotated[
    Path,
    typer.Option(
        help="A folder of MathWriting or CROHME, or one with a labels.csv.", exists=True, file_okay=False, readable=True
    ),
]
Processes = Annotated[int, typer.Option(help="Processes that load and draw; 0: none beside this one.", min=0, max=64)]
Threads = Annotated[int, typer.Option(help="Threads that compute; 0: as many as there are cores.", min=0)]
Gpu = Annotated[bool, typer.Option("--gpu/--cpu", help="Use a GPU if there is one.")]


def train(
    data: Data,
    out: Annotated[Path | None, typer.Option(help="Where the model goes; DATA_DIR/formula.", file_okay=False)] = None,
    preset: Annotated[str, typer.Option(help=f"Its shape: {', '.join(PRESETS)}.")] = _DEFAULTS.preset,
    epochs: Annotated[int, typer.Option(min=1)] = _DEFAULTS.epochs,
    epoch_size: Annotated[int, typer.Option(help="Formulas in an epoch; 0: all there are.", min=0)] = 0,
    batch: Annotated[int, typer.Option(help="Formulas in a batch; fewer of large ones.", min=1)] = _DEFAULTS.batch,
    accumulate: Annotated[int, typer.Option(help="Batches in a step.", min=1)] = 1,
    learning_rate: Annotated[float, typer.Option(help="The highest; 0: what suits the preset.", min=0.0)] = 0.0,
    ema: Annotated[float, typer.Option(help="How much of the averaged weights stays.", min=0, max=0.99999)] = 0.999,
    augment: Annotated[bool, typer.Option("--augment/--plain", help="Draw each formula otherwise each time.")] = True,
    time_limit: Annotated[float, typer.Option(help="Minutes that training may take; 0: no limit.", min=0.0)] = 0.0,
    processes: Processes = 1,
    threads: Threads = 0,
    gpu: Gpu = True,
    resume: Annotated[bool, typer.Option("--resume/--fresh", help="Go on where it stopped, or begin anew.")] = True,
    warm_start: Annotated[
        Path | None, typer.Option(help="A model to begin with.", exists=True, file_okay=False)
    ] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Learn to read formulas from a folder of them. It shows how it goes, and can be stopped and gone on with."""
    if preset not in PRESETS:
        raise stop(f"There is no preset {preset}. There are {', '.join(PRESETS)}.", os.EX_USAGE)
    settings = _ready()
    recipe = Recipe(
        preset=preset,
        epochs=epochs,
        epoch_size=epoch_size,
        batch=batch,
        accumulate=accumulate,
        learning_rate=learning_rate,
        ema=ema,
        augment=augment,
        seed=seed,
    )
    order = FormulaOrder(
        data=data,
        out=out or settings.data_dir / "formula",
        recipe=recipe,
        fresh=not resume,
        warm_start=warm_start,
        time_limit_s=time_limit * 60,
        processes=processes,
        threads=threads,
        use_gpu=gpu,
        tracking_uri=settings.mlflow_tracking_uri,
    )
    become(_PROCESS, "train", order.model_dump_json())


@app.command("evaluate")
def evaluate(
    model: Annotated[Path, typer.Argument(help="The folder of a model.", exists=True, file_okay=False)],
    data: Data,
    split: Annotated[Literal["train", "valid", "test"], typer.Option(help="Which formulas.")] = "test",
    report: Annotated[Path | None, typer.Option(help="An HTML page with the worst cases.", dir_okay=False)] = None,
    most: Annotated[int, typer.Option(help="Read so many at most; 0: all.", min=0)] = 0,
    threads: Threads = 0,
    gpu: Gpu = True,
) -> None:
    """Read formulas whose LaTeX is known, and print as JSON how well that went."""
    _ready()
    order = EvaluationOrder(model=model, data=data, split=split, page=report, most=most, threads=threads, use_gpu=gpu)
    become(_PROCESS, "evaluate", order.model_dump_json())


@app.command("generate")
def generate(
    folder: Annotated[Path, typer.Argument(help="Where they go; new, empty, or left by a call that was stopped.")],
    count: Annotated[int, typer.Option(help="Formulas to learn from.", min=1)] = 20_000,
    seed: Annotated[int, typer.Option(help="The same seed makes the same folder.", min=0)] = 0,
    valid: Annotated[int | None, typer.Option(help="Formulas of the split valid; one for twenty.", min=0)] = None,
    test: Annotated[int | None, typer.Option(help="Formulas of the split test; one for twenty.", min=0)] = None,
    processes: Annotated[int, typer.Option(help="Processes that write; 0: one for each core.", min=0)] = 0,
) -> None:
    """Make formulas up and write them by hand, as ink in the layout of MathWriting."""
    _ready()
    order = GenerationOrder(folder=folder, count=count, seed=seed, valid=valid, test=test, processes=processes)
    become(_PROCESS, "generate", order.model_dump_json())


@app.command("export")
def export(
    model: Annotated[Path, typer.Argument(help="The folder of a trained model.", exists=True, file_okay=False)],
    data: Annotated[
        Path | None,
        typer.Option(help="Formulas that decide whether 8 bits are enough; none: 32.", exists=True, file_okay=False),
    ] = None,
) -> None:
    """Write for ONNX Runtime what a training left; the end of a training does it, too."""
    _ready()
    become(_PROCESS, "export", ExportOrder(model=model, data=data).model_dump_json())


def _ready() -> Settings:
    """The settings; ends the command where packages are missing, which are looked for without loading them."""
    settings = configured(broker=False)
    if lacking := [name for name in PACKAGES if importlib.util.find_spec(name) is None]:
        raise stop(f"This needs {', '.join(lacking)}, not installed here. Install copyist with [training].")
    return settings
