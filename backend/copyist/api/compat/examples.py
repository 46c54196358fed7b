"""The examples of the compat routes in the OpenAPI document."""

from __future__ import annotations

from typing import Any

_ID = "0b8f4b0e-6c2d-4f0a-9a57-3d5a4f0f9c11"
_PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTjUBgAAAABJRU5ErkJggg=="
_AT = "2025-12-01 09:30:01"
_FORMULA = "\\int_{0}^{\\infty} x^2 e^{-x} dx = 2"

RECOGNIZE: dict[str, Any] = {"image": f"data:image/png;base64,{_PICTURE}"}
RECOGNIZED: dict[str, Any] = {"latex": _FORMULA, "confidence": 0.93}

PREDICTION: dict[str, Any] = {
    "formula": _FORMULA,
    "confidence": 0.9821,
    "processing_time": 0.543,
    "timestamp": _AT,
}
UNSURE: dict[str, Any] = PREDICTION | {
    "formula": "x^{2}+1",
    "confidence": 0.4127,
    "warnings": ["The engine is only 41% sure of this formula: check it."],
}
PREDICT_BATCH: dict[str, Any] = {"images": [_PICTURE, "bm8gcGljdHVyZQ=="]}
PREDICTIONS: dict[str, Any] = {
    "results": [
        {
            "index": 0,
            "formula": _FORMULA,
            "confidence": 0.9821,
            "processing_time": 0.543,
            "warnings": [],
            "error": None,
        },
        {
            "index": 1,
            "formula": None,
            "confidence": None,
            "processing_time": None,
            "warnings": [],
            "error": {
                "type": "about:blank",
                "title": "This kind of file cannot be read",
                "status": 415,
                "code": "unsupported_media",
                "detail": "By its content this file is not one of the kinds that can be read.",
            },
        },
    ],
    "total": 2,
    "successful": 1,
    "failed": 1,
    "processing_time": 0.602,
    "timestamp": _AT,
}
MATH_STATUS: dict[str, Any] = {
    "status": "healthy",
    "model_loaded": True,
    "engines": ["formula"],
    "version": "0.1.0",
    "uptime": 3600.5,
    "timestamp": _AT,
}
MODEL_INFO: dict[str, Any] = {
    "model_name": "small",
    "engine": "formula",
    "version": "onnxruntime-1.31.1+small:5f0c2a9e+latex1",
    "device": "cpu",
    "state": "loaded",
    "model_loaded": True,
    "architecture": {
        "kind": "copyist",
        "encoder": "mobilenetv4_conv_small",
        "decoder": "3 layers, 8 heads, d = 256",
        "picture": "up to 512 x 128",
        "tokens": "230",
        "parameters": "6112345",
    },
}

RATE_LIMIT_STATUS: dict[str, Any] = {
    "enabled": True,
    "tier": "anonymous",
    "windows": {
        "minute": {"limit": 10, "remaining": 7, "reset": 41},
        "hour": {"limit": 100, "remaining": 62, "reset": 1807},
        "day": {"limit": 500, "remaining": 431, "reset": 52104},
    },
    "concurrent": {"limit": 5, "active": 0},
}

CONVERTED: dict[str, Any] = {
    "document": {
        "filename": "scan.pdf",
        "md_content": "# Invoice\n\nDear Ms Finch,\n",
        "json_content": None,
        "html_content": None,
        "text_content": None,
        "doctags_content": None,
    },
    "status": "success",
    "errors": [],
    "processing_time": 1.24,
    "timings": {},
}
TASK: dict[str, Any] = {
    "task_id": _ID,
    "task_type": "convert",
    "task_status": "pending",
    "task_position": 3,
    "task_meta": {"num_docs": 1, "num_processed": 0, "num_succeeded": 0, "num_partially_succeeded": 0, "num_failed": 0},
    "error_message": None,
}
CONVERT_SOURCES: dict[str, Any] = {
    "options": {"to_formats": ["md", "text"], "force_ocr": False},
    "sources": [{"kind": "file", "base64_string": _PICTURE, "filename": "scan.png"}],
}
VERSION: dict[str, Any] = {"copyist": "0.1.0"}
