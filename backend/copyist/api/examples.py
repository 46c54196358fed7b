"""The examples of the OpenAPI document: one job, followed from its upload to its page and its tasks."""

from __future__ import annotations

from typing import Any

_ID = "0b8f4b0e-6c2d-4f0a-9a57-3d5a4f0f9c11"
_TIMES = {"created_at": "2025-12-01T09:30:00.120000Z", "started_at": "2025-12-01T09:30:00.180000Z"}
_END = "2025-12-01T09:30:01.420000Z"
_WORD = {"text": "Invoice", "box": [120, 88, 241, 116], "confidence": 0.58}
_LINE = {"text": "Invoice", "box": [120, 88, 241, 116], "confidence": 0.58, "words": [_WORD]}

_LINKS: dict[str, Any] = {
    "self": f"/api/jobs/{_ID}",
    "events": f"/api/jobs/{_ID}/events",
    "result": f"/api/jobs/{_ID}/result.txt",
    "cancel": None,
    "retry": None,
    "batch": None,
}

PROBLEM: dict[str, Any] = {
    "type": "about:blank",
    "title": "The PDF is protected by a password",
    "status": 422,
    "code": "encrypted",
    "detail": "The PDF is protected by a password. Send it again together with its password.",
}

JOB: dict[str, Any] = {
    "id": _ID,
    "status": "completed",
    "filename": "scan.pdf",
    **_TIMES,
    "finished_at": _END,
    "expires_at": None,
    "progress": {"pages_done": 3, "pages_failed": 0, "pages_total": 3, "percent": 100},
    "queue_position": None,
    "eta": None,
    "engines": ["tesseract"],
    "confidence": 0.94,
    "degraded": False,
    "warnings": [],
    "error": None,
    "options": {
        "mode": "document",
        "engine": None,
        "languages": ["eng"],
        "text": "auto",
        "pages": "1-3",
        "priority": "normal",
        "time_limit": None,
        "page_time_limit": None,
        "decoding": {},
    },
    "metadata": {"shelf": 3},
    "links": _LINKS,
}

SUBMITTED: dict[str, Any] = JOB | {
    "status": "pending",
    "started_at": None,
    "finished_at": None,
    "progress": {"pages_done": 0, "pages_failed": 0, "pages_total": None, "percent": 0},
    "queue_position": 2,
    "engines": [],
    "confidence": None,
    "eta": "2025-12-01T09:30:04Z",
    "links": _LINKS | {"result": None, "cancel": f"/api/jobs/{_ID}/cancel"},
}

CANCELLED: dict[str, Any] = SUBMITTED | {
    "status": "cancelled",
    "finished_at": _END,
    "queue_position": None,
    "eta": None,
    "links": _LINKS | {"result": None, "retry": f"/api/jobs/{_ID}/retry"},
}

JOB_LIST: dict[str, Any] = {"jobs": [JOB], "next_cursor": None}

PAGE: dict[str, Any] = {
    "number": 1,
    "status": "done",
    "attempts": 1,
    "degraded": False,
    "trail": [{"engine": "tesseract", "outcome": "read", "seconds": 0.41, "confidence": 0.58, "reason": None}],
    "error": None,
    "started_at": _TIMES["started_at"],
    "finished_at": _END,
    "text": "Invoice",
    "confidence": 0.58,
    "review": [_WORD],
    "lines": [
        {
            "id": f"{_ID}.1.0",
            "block": 0,
            "text": "Invoice",
            "box": _LINE["box"],
            "confidence": 0.58,
            "verified": False,
            "revision": None,
            "read": None,
        }
    ],
    "content": {
        "number": 1,
        "width": 1240,
        "height": 1754,
        "dpi": 150,
        "turned": 0,
        "skew": 0.0,
        "source": "ocr",
        "engine": "tesseract",
        "engine_version": "5.5.0",
        "blocks": [{"kind": "text", "box": [120, 88, 241, 116], "lines": [_LINE], "markup": None}],
    },
}

REVISION: dict[str, Any] = {
    "id": 12,
    "line": f"{_ID}.1.0",
    "parent": None,
    "before": "Invoice",
    "after": "Invoices",
    "source": "desk",
    "author": "the front desk",
    "at": "2025-12-02T10:00:00.500000Z",
}
CORRECTED_LINE: dict[str, Any] = {
    "id": f"{_ID}.1.0",
    "block": 0,
    "text": "Invoices",
    "box": _LINE["box"],
    "confidence": 1.0,
    "verified": True,
    "revision": 12,
    "read": "Invoice",
}
LINE: dict[str, Any] = CORRECTED_LINE | {
    "job": _ID,
    "page": 1,
    "engine": "tesseract",
    "engine_confidence": 0.58,
    "picture": f"/api/jobs/{_ID}/pages/1/image",
    "revisions": [REVISION],
}
CORRECTIONS: dict[str, Any] = {
    "corrected": 1,
    "confirmed": 41,
    "unchanged": 0,
    "lines": [f"{_ID}.1.0"],
    "outdated": [],
    "unmatched": [{"id": f"{_ID}.1.7", "page": 1, "line": 7, "text": "12 |"}],
    "unmatched_text": ["a line that was not read"],
}
CONFIRMED: dict[str, Any] = CORRECTIONS | {"corrected": 0, "lines": [], "unmatched": [], "unmatched_text": []}
CORRECTION_LOG: dict[str, Any] = {"corrections": [REVISION], "next_after": None}
CORRECTED_TEXT = "Invoices\nDear Ms Finch,\n"

ENGINE: dict[str, Any] = {
    "name": "tesseract",
    "ready": True,
    "reason": "",
    "version": "5.5.0",
    "languages": ["deu", "eng"],
    "modes": ["document"],
    "needs_gpu": False,
    "device": "cpu",
    "model": "",
    "memory_bytes": None,
    "details": {},
    "state": "loaded",
    "workers": 2,
}

ALIVE: dict[str, Any] = {"status": "ok", "version": "0.1.0"}
READY: dict[str, Any] = {
    "status": "ready",
    "database": "ok",
    "broker": "ok",
    "storage": "ok",
    "engines": ["rapidocr", "tesseract"],
    "gpu": "absent",
    "problems": [],
}
NOT_READY: dict[str, Any] = READY | {
    "status": "not ready",
    "broker": "does not answer",
    "problems": ["The broker does not answer: nothing answers there; it may not be running."],
}

ACCEPTED: dict[str, Any] = {
    "transaction_id": _ID,
    "status": "pending",
    "message": "The image was accepted. Poll its status.",
}

TRANSACTION: dict[str, Any] = {
    "transaction_id": _ID,
    "status": "completed",
    "original_filename": "note.jpg",
    "image_size": 48213,
    **_TIMES,
    "updated_at": _END,
    "completed_at": _END,
    "processing_duration": 1.24,
    "ocr_confidence": 0.94,
    "error_message": None,
    "task_count": 1,
    "extracted_tasks": [
        {
            "id": "7c1c1f6a-5c0e-5a5b-8f0d-2f6d1f0f7a10",
            "task_name": "Call the printer",
            "description": "Call the printer @anna 17/12/2025 !!",
            "assignee": "anna",
            "due_date": "2025-12-17",
            "priority": "high",
            "position_index": 0,
            "confidence_score": 0.93,
            "bbox_x": 64,
            "bbox_y": 210,
            "bbox_width": 512,
            "bbox_height": 38,
            "created_at": _END,
        }
    ],
}

OCR: dict[str, Any] = {
    "filename": "file:///srv/papers/rivers.pdf",
    "model": "facebook/nougat-small",
    "temperature": 0.0,
    "top_p": 0.0,
    "repetition_penalty": None,
}
OCR_TEXT = "# On the width of rivers\n\nWe show that \\(w_{i}=n\\) holds.\n"
OLD_ERROR: dict[str, Any] = {"error": {"image": ['Send the file as the multipart field "image".']}}

RESULTS: dict[str, Any] = {
    "text/plain": "Invoice\nDear Ms Finch,\n",
    "text/markdown": "# Invoice\n\nDear Ms Finch,\n",
    "application/json": {"pages": [PAGE["content"]]},
}

_BATCH_ID = "5d7c1c62-0f53-4b0e-8a2e-6f6f0d5f2a10"

BATCH: dict[str, Any] = {
    "id": _BATCH_ID,
    "status": "processing",
    "created_at": "2025-12-01T09:30:00.120000Z",
    "jobs": {"pending": 1, "processing": 1, "completed": 12, "failed": 0, "cancelled": 0},
    "pages_done": 31,
    "pages_failed": 0,
    "refused": [{"filename": "notes.doc", "code": "unsupported_media", "detail": "This kind of file cannot be read."}],
    "metadata": {"shelf": 3},
    "links": {
        "self": f"/api/batches/{_BATCH_ID}",
        "jobs": f"/api/jobs?batch={_BATCH_ID}",
        "result": f"/api/batches/{_BATCH_ID}/result.zip",
    },
}
BATCH_LIST: dict[str, Any] = {"batches": [BATCH], "next_cursor": None}

EVENTS = """\
event: job
data: {"id": "0b8f4b0e-6c2d-4f0a-9a57-3d5a4f0f9c11", "status": "processing", "progress": {"pages_done": 0}}

id: 2
event: page
data: {"number": 1, "status": "done", "engine": "tesseract", "confidence": 0.94, "error": null}

"""
