"""Draws pages of text and wears them out: skew, noise, blur, keystone, uneven light. Same input, same pixels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

FONTS = Path("/usr/share/fonts/truetype/dejavu")
DPI = 200
A5 = (1165, 1654)
A4 = (1654, 2339)


def page(
    lines: Sequence[str],
    *,
    size: tuple[int, int] = A5,
    points: float = 11,
    font: str = "DejaVuSerif",
    title: bool = True,
) -> Image.Image:
    """A grey page, dark on white. An empty line is a gap between paragraphs; the first line is larger if ``title``."""
    image = Image.new("L", size, 255)
    draw = ImageDraw.Draw(image)
    height = round(points * DPI / 72)
    margin, top = round(0.6 * DPI), round(0.6 * DPI)
    for number, line in enumerate(lines):
        scale = 1.4 if title and number == 0 else 1.0
        face = ImageFont.truetype(
            str(FONTS / f"{font}.ttf"), round(height * scale), layout_engine=ImageFont.Layout.BASIC
        )
        if margin + draw.textlength(line, font=face) > size[0] - margin // 2:
            raise ValueError(f"too long for the page: {line}")
        draw.text((margin, top), line, font=face, fill=25)
        top += round(height * scale * (1.5 if line else 0.8))
    if top > size[1]:
        raise ValueError("too many lines for the page")
    return image


def skewed(image: Image.Image, degrees: float) -> Image.Image:
    """The page turned clockwise by ``degrees`` on a white ground."""
    return image.rotate(-degrees, Image.Resampling.BICUBIC, fillcolor=255)


def scanned(image: Image.Image, *, degrees: float, seed: int) -> Image.Image:
    """A black and white flatbed scan: tilted, rough at the edges of letters, with specks."""
    noise = np.random.default_rng(seed)
    soft = skewed(image, degrees).filter(ImageFilter.GaussianBlur(0.8))
    grey = np.asarray(soft, np.float32) + noise.normal(0, 14, (image.height, image.width))
    specks = noise.random((image.height, image.width)) < 0.0002
    return Image.fromarray(np.where((grey < 150) | specks, 0, 255).astype(np.uint8)).convert(
        "1", dither=Image.Dither.NONE
    )


def photographed(image: Image.Image, *, seed: int) -> Image.Image:
    """A photo by hand: the page lies on a dark table, seen at an angle, brighter on one side, a little noisy."""
    width, height = image.size
    # Where the page's corners lie in the photo: left top, right top, right bottom, left bottom, as shares of its size.
    corners = [(0.09, 0.05), (0.93, 0.08), (0.97, 0.95), (0.04, 0.93)]
    seen = [(x * width, y * height) for x, y in corners]
    flat = [(0, 0), (width, 0), (width, height), (0, height)]
    shown = image.transform(image.size, Image.Transform.PERSPECTIVE, _projection(seen, flat), Image.Resampling.BICUBIC)
    mask = Image.new("L", image.size, 255)
    mask = mask.transform(image.size, Image.Transform.PERSPECTIVE, _projection(seen, flat), Image.Resampling.BICUBIC)
    table = Image.composite(shown, Image.new("L", image.size, 60), mask).filter(ImageFilter.GaussianBlur(0.9))
    down, across = np.mgrid[0:height, 0:width]
    light = 0.55 + 0.4 * across / width + 0.1 * down / height
    grey = np.asarray(table, np.float32) * light + np.random.default_rng(seed).normal(0, 3, (height, width))
    return Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))


def _projection(seen: Sequence[tuple[float, float]], flat: Sequence[tuple[float, float]]) -> list[float]:
    """The eight numbers with which Pillow finds, for each point of the photo, the point of the flat page."""
    rows: list[list[float]] = []
    for (x, y), (u, v) in zip(seen, flat, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    return np.linalg.solve(np.array(rows), np.array(flat, np.float64).reshape(8)).tolist()
