"""Formulas as people send them: on paper, on boards and screens, in the shade; and pictures that hold none."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
WRITTEN = "2x+5=9"


_STROKES: dict[str, str] = {
    "0": "3,0 1,2 0,5 1,9 3,10 5,8 6,5 5,2 3,0",
    "1": "0,3 3,0 3,10",
    "2": "0,3 1,1 3,0 6,2 5,5 0,10 6,10",
    "3": "0,1 3,0 6,2 5,4 3,5 6,7 5,9 3,10 0,9",
    "4": "4,0 0,7 6,7/4,4 4,10",
    "5": "6,0 1,0 1,5 4,4 6,6 5,9 3,10 0,9",
    "6": "5,1 2,2 0,6 1,9 4,10 6,7 4,5 1,6",
    "7": "0,0 6,0 2,10",
    "8": "5,1 2,0 1,2 5,7 4,10 1,9 1,7 5,3 5,1",
    "9": "6,2 4,0 1,1 1,4 4,5 6,2 6,6 4,10",
    "x": "0,4 6,10/6,4 0,10",
    "y": "0,4 3,8/6,4 2,12",
    "n": "0,4 0,10/0,6 3,4 5,5 5,10",
    "i": "1,4 1,10/1,1 1,1",
    "E": "6,0 0,0 4,5 0,10 6,10",
    "+": "0,6 6,6/3,3 3,9",
    "-": "0,6 6,6",
    "=": "0,5 6,5/0,8 6,8",
    "|": "1,0 1,10",
    ".": "1,10 1,10",
    " ": "",
}
"""Points of a pen's strokes, ten units high."""


def drawn(text: str = WRITTEN, *, size: float = 60, pen: int = 4, margin: int = 20) -> Picture:
    """``text`` in strokes of a round pen, black on white; digits are ``size`` pixels high."""
    unit, fine = size / 10, 16
    canvas = np.full((round(12 * unit) + 2 * margin, round(9 * unit * len(text)) + 2 * margin), 255, np.uint8)
    for number, sign in enumerate(text):
        for stroke in filter(None, _STROKES[sign].split("/")):
            points = np.array([[float(part) for part in point.split(",")] for point in stroke.split()])
            places = (points + np.array([9 * number, 0])) * unit + margin
            cv2.polylines(canvas, [np.rint(places * fine).astype(np.int32)], False, 0, pen, cv2.LINE_AA, 4)
    return canvas


def on_paper(
    paper: tuple[int, int, int], ink: tuple[int, int, int], *, noise: float = 0.0, light: Any = 1.0, crumbs: float = 0.0
) -> Picture:
    """``WRITTEN`` in the middle of 600 x 360 pixels, RGB.

    ``light`` is a share for each pixel, (height, width); ``crumbs`` the share of the ink that is missing, as of chalk.
    """
    chance = np.random.default_rng(5)
    written = np.zeros((360, 600))
    strokes = 1 - drawn(size=60, pen=6, margin=10) / 255
    written[120 : 120 + strokes.shape[0], 60 : 60 + strokes.shape[1]] = strokes
    written *= chance.random(written.shape) >= crumbs
    scene = np.array(paper) * (1 - written[..., None]) + np.array(ink) * written[..., None]
    lit = scene * np.broadcast_to(light, written.shape)[..., None]
    return np.asarray(np.clip(lit + chance.normal(0, noise, scene.shape), 0, 255), np.uint8)


def shadow() -> npt.NDArray[np.float64]:
    """Half of the picture in the shade of a hand."""
    rows, columns = np.mgrid[0:360, 0:600]
    return np.asarray(0.45 + 0.55 / (1 + np.exp(-(columns + 0.3 * rows - 330) / 15)))


def ruled(picture: Picture, *, every: int, ink: tuple[int, int, int], squared: bool, turned: float = 0.0) -> Picture:
    """``picture`` on paper with lines, ``turned`` by some degrees."""
    lines = np.full_like(picture, 255)
    for row in range(every // 2, picture.shape[0], every):
        lines[row : row + 2] = ink
    for column in range(every // 2, picture.shape[1], every) if squared else ():
        lines[:, column : column + 2] = ink
    both = np.minimum(picture, lines)
    middle = picture.shape[1] / 2, picture.shape[0] / 2
    return np.asarray(
        cv2.warpAffine(
            both, cv2.getRotationMatrix2D(middle, turned, 1), both.shape[1::-1], borderMode=cv2.BORDER_REPLICATE
        ),
        np.uint8,
    )


SCENES = {
    "blackboard": on_paper((40, 60, 50), (225, 225, 220), noise=8, crumbs=0.2),
    "dark theme": on_paper((30, 30, 30), (212, 212, 212)),
    "blue ink": on_paper((255, 255, 255), (60, 80, 220)),
    "magenta ink": on_paper((255, 255, 255), (255, 40, 255)),
    "yellow ink": on_paper((255, 255, 255), (250, 240, 40)),
    "pencil": on_paper((235, 232, 225), (170, 168, 165), noise=4),
    "shadow": on_paper((215, 210, 195), (50, 50, 70), noise=4, light=shadow()),
    "noisy photo": on_paper((180, 175, 160), (60, 60, 70), noise=14),
    "squared": ruled(on_paper((255, 255, 255), (20, 20, 60)), every=24, ink=(170, 190, 230), squared=True),
    "dark squares": ruled(on_paper((255, 255, 255), (20, 20, 60)), every=24, ink=(60, 60, 80), squared=True),
    "ruled": ruled(on_paper((255, 255, 255), (20, 20, 60)), every=50, ink=(90, 90, 120), squared=False),
    "ruled, askew": ruled(on_paper((255, 255, 255), (0, 0, 0)), every=50, ink=(90, 90, 120), squared=False, turned=2),
}
"""``WRITTEN``, each time with the same pen and size."""


def cat() -> Picture:
    """Something like a photo of one: fur, shades, eyes and whiskers; 480 x 640 pixels, RGB."""
    chance = np.random.default_rng(0)
    scene = np.full((480, 640, 3), (150, 140, 120), np.float32)
    fur = [cv2.GaussianBlur(chance.normal(0, 1, (480, 640)).astype(np.float32), (0, 0), sigmaX=1, sigmaY=6)] * 3
    for ear in ([[180, 200], [200, 60], [300, 160]], [[460, 200], [440, 60], [340, 160]]):
        cv2.fillConvexPoly(scene, np.array(ear), (140, 95, 55))
    cv2.ellipse(scene, (320, 280), (170, 140), 0, 0, 360, (150, 105, 60), -1)
    for eye in (250, 390):
        cv2.ellipse(scene, (eye, 250), (28, 22), 0, 0, 360, (90, 160, 60), -1)
        cv2.ellipse(scene, (eye, 250), (8, 20), 0, 0, 360, (10, 10, 10), -1)
    for number in range(6):
        cv2.line(scene, (320, 320), (120 + number % 2 * 400, 280 + number * 15), (240, 240, 235), 2, cv2.LINE_AA)
    furry = cv2.GaussianBlur((scene[..., 0] != 150).astype(np.float32), (0, 0), 3)[..., None]
    scene = cv2.GaussianBlur(scene, (0, 0), 2) + 230 * np.stack(fur, -1) * furry
    scene *= np.linspace(0.6, 1.1, 640)[:, None]
    return np.asarray(np.clip(scene + chance.normal(0, 4, scene.shape), 0, 255), np.uint8)


def noise() -> Picture:
    """A television without a station."""
    return np.random.default_rng(1).integers(0, 256, (300, 400, 3), dtype=np.uint8)


def clouds() -> Picture:
    """Soft light and shade."""
    rows, columns = np.mgrid[0:600, 0:900]
    return np.asarray(128 + 100 * np.sin(columns / 200) * np.cos(rows / 150), np.uint8)


def under_each_other(*pictures: Picture, gap: int = 30) -> Picture:
    """Grey pictures as one page."""
    width = max(picture.shape[1] for picture in pictures)
    rows = [np.pad(one, ((gap, 0), (0, width - one.shape[1])), constant_values=255) for one in pictures]
    return np.asarray(np.vstack(rows), np.uint8)
