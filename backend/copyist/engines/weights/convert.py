"""From PyTorch's pickled tensors to safetensors, the only format that the engines load."""

from __future__ import annotations

import zipfile
from pathlib import Path

from copyist.engines.weights import WeightsError


def to_safetensors(pickled: Path, target: Path) -> None:
    """Write the tensors of ``pickled``, name by name, to ``target``.

    Nothing but tensors is unpickled (``weights_only``): such a file can hold code, which is not run. Raises
    ``WeightsError`` where torch is not installed, and for a file that holds something else.
    """
    try:
        import torch
        from safetensors.torch import save_file
    except ImportError as error:
        raise WeightsError(
            f"These weights are published as {pickled.name} only, which torch has to convert. Install copyist with "
            "[models], and run the same command again: what was fetched is kept."
        ) from error
    try:
        content = torch.load(pickled, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(pickled))
        # Tied weights are one piece of memory under two names; safetensors takes them only as two.
        tensors = {str(name): tensor.detach().clone().contiguous() for name, tensor in content.items()}
        save_file(tensors, target, metadata={"format": "pt"})
    except Exception as error:
        raise WeightsError(f"{pickled.name} holds something else than tensors, and was not converted.") from error
