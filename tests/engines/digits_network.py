"""A network of one's own for EasyOCR, made in a second without training: it compares with pictures of the ten digits.

Its weights are the pictures, drawn in the tests' font, so that what it reads is real though nothing was downloaded.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from tests.engines.drawing import font

NAME = "digits"
DIGITS = "0123456789"
HEIGHT = 32

_YAML = f"""\
network_params: {{count: 10, width: %d}}
imgH: {HEIGHT}
lang_list: [en]
character_list: "{DIGITS}"
"""

_CODE = '''\
import numpy as np
import torch
from torch import nn


class Model(nn.Module):
    """Frames by classes: how like each digit the ink around a column is, blank where it is like none."""

    def __init__(self, num_class, count, width):
        super().__init__()
        self.pictures = nn.Parameter(torch.zeros(count, 1, 32, width))

    def forward(self, image, text):
        ink = (1 - image) / 2
        width = self.pictures.shape[3]
        ink = nn.functional.pad(ink, (width // 2, width - 1 - width // 2))
        likeness = nn.functional.conv2d(ink, self.pictures)
        energy = nn.functional.conv2d(ink**2, torch.ones(1, 1, 32, width))
        mean = nn.functional.conv2d(ink, torch.ones(1, 1, 32, width)) / (32 * width)
        spread = (energy - 32 * width * mean**2).clamp(min=1.0).sqrt()
        classes = (likeness / spread).squeeze(2).permute(0, 2, 1)
        blank = torch.full_like(classes[:, :, :1], 0.8)
        return 60 * torch.cat([blank, classes], dim=2)


def find_text(grey):
    """Rows of ink, cut close: [left, right, top, bottom]."""
    inked = grey < 128
    edges = np.flatnonzero(np.diff(np.pad(inked.any(axis=1).astype(int), 1)))
    boxes = []
    for top, bottom in zip(edges[::2], edges[1::2]):
        columns = np.flatnonzero(inked[top:bottom].any(axis=0))
        boxes.append([int(columns[0]), int(columns[-1]) + 1, int(top), int(bottom)])
    return boxes
'''


def write_network(folder: Path) -> None:
    """Write the network's three files into ``folder``."""
    import torch

    pictures = _pictures()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{NAME}.yaml").write_text(_YAML % pictures.shape[2])
    (folder / f"{NAME}.py").write_text(_CODE)
    # EasyOCR expects names as a network spread over GPUs saves them.
    torch.save({"module.pictures": torch.from_numpy(pictures)[:, None]}, folder / f"{NAME}.pth")


def _pictures() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """One picture per digit, shape (10, HEIGHT, width): ink from 0 to 1, less its mean, of unit length."""
    scale = 4
    pen = font(40 * scale)
    _, top, _, bottom = pen.getbbox(DIGITS)
    pitch = round(pen.getlength("0") * HEIGHT / (bottom - top))
    pictures = []
    for digit in DIGITS:
        across = round(pen.getlength(digit))
        page = Image.new("L", (across, int(bottom - top)), 0)
        ImageDraw.Draw(page).text((0, -top), digit, fill=255, font=pen)
        ink = np.asarray(page.resize((pitch, HEIGHT), Image.Resampling.LANCZOS), dtype=np.float32) / 255
        centred = ink - ink.mean()
        pictures.append(centred / np.linalg.norm(centred))
    return np.stack(pictures).astype(np.float32)
