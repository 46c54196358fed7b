"""Which GPUs this process may use, found without torch and without starting CUDA, which must not be forked."""

from __future__ import annotations

import importlib.metadata
import os
from dataclasses import dataclass
from functools import cache

import pynvml


@dataclass(frozen=True)
class Gpu:
    """One card: its number as NVIDIA's driver counts, its name, its memory in bytes, its compute capability."""

    index: int
    name: str
    total_bytes: int
    free_bytes: int
    capability: tuple[int, int] = (0, 0)

    @property
    def has_bf16(self) -> bool:
        """Whether it computes in bfloat16 by itself, as cards from Ampere on do; torch emulates it on older ones."""
        return self.capability >= (8, 0)


def gpus() -> tuple[Gpu, ...]:
    """The cards that ``CUDA_VISIBLE_DEVICES`` leaves to this process; none without a driver."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()
    try:
        found = [_card(index) for index in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError:
        return ()
    finally:
        pynvml.nvmlShutdown()
    return tuple(card for card, uuid in found if _is_visible(card, uuid))


def use_only(card: Gpu) -> None:
    """Leave this one card to this process; only before torch is loaded.

    Left to itself, CUDA counts the fastest card first, and not as the driver does.
    """
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    os.environ["CUDA_VISIBLE_DEVICES"] = str(card.index)


def why_no_cuda() -> str:
    """Why torch cannot use a GPU here, with the way out; empty when it should be able to."""
    build = _torch_build()
    if not build:
        return "The package torch is not installed; install copyist with [models]."
    if not gpus():
        return (
            "No NVIDIA GPU is visible here. Start the worker where there is one, with its driver and container toolkit."
        )
    if build.endswith("+cpu"):
        return f"The installed torch {build} cannot use a GPU; install PyTorch's CUDA build of the same version."
    return ""


@cache
def _torch_build() -> str:
    """torch's version, empty without it; looked up once, as engines ask several times a page."""
    try:
        return importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return ""


def _card(index: int) -> tuple[Gpu, str]:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    name, uuid = (str(ask(handle)) for ask in (pynvml.nvmlDeviceGetName, pynvml.nvmlDeviceGetUUID))
    major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
    return Gpu(index, name, int(memory.total), int(memory.free), (int(major), int(minor))), uuid


def _is_visible(card: Gpu, uuid: str) -> bool:
    """Whether ``CUDA_VISIBLE_DEVICES`` names the card, by number or by the beginning of its UUID."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return True
    wanted = [part.strip() for part in named.split(",") if part.strip()]
    return any(part == str(card.index) or (not part.isdigit() and uuid.startswith(part)) for part in wanted)
