"""The calls of the math OCR API's README (section "API Usage Examples") as they are printed there."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from tests.servers import process_environment

PREDICT = r"""
curl -X POST "http://localhost:8000/predict" \
  -H "X-API-Key: your_api_key" \
  -F "file=@formula_image.png"
"""
PREDICT_BATCH = r"""
curl -X POST "http://localhost:8000/predict/batch" \
  -H "X-API-Key: your_api_key" \
  -H "Content-Type: application/json" \
  -d '{
    "images": ["base64_image_1", "base64_image_2"]
  }'
"""
ANSWERED = {"formula", "confidence", "processing_time", "timestamp"}


def drawn(text: str) -> npt.NDArray[np.uint8]:
    """``text`` in black on white, 40 pixels high."""
    canvas = np.full((80, 40 + 30 * len(text)), 255, np.uint8)
    cv2.putText(canvas, text, (20, 58), cv2.FONT_HERSHEY_SIMPLEX, 1.3, 0, 3, cv2.LINE_AA)
    return canvas


def png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """The file of a picture."""
    return cv2.imencode(".png", pixels)[1].tobytes()


def curl(call: str, folder: Path, *images: bytes, port: int, key: str) -> dict[str, Any]:
    """What a call prints, with an address, a key and pictures in the place of its words for them."""
    call = call.replace("localhost:8000", f"127.0.0.1:{port}").replace("your_api_key", key)
    for number, image in enumerate(images, 1):
        call = call.replace(f"base64_image_{number}", base64.b64encode(image).decode())
    (folder / "formula_image.png").write_bytes(images[0])
    done = subprocess.run(
        ["bash", "-c", call], cwd=folder, env=process_environment(), capture_output=True, check=True, timeout=120
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found
