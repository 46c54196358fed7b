"""What a client sends to be read: a multipart form with a file, or JSON (or a form) that names one.

Both have the same fields, which are described once, here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from starlette.datastructures import FormData, UploadFile

from copyist import storage
from copyist.api.uploads import Form
from copyist.errors import MissingFile

FILE_DESCRIPTION = "PDF, PNG, JPEG, TIFF, WebP, BMP, GIF, AVIF, HEIC, JPEG 2000"
MAX_FILES = 1000
MAX_FIELDS = 100
MAX_FIELD_BYTES = 1_000_000
Seconds = Annotated[float, Field(gt=0, le=31_536_000)]


class Fields(BaseModel):
    """What may stand beside a file."""

    model_config = ConfigDict(extra="allow")

    mode: str | None = Field(
        default=None,
        examples=["document"],
        description="document, handwriting, formula or paper; else the engine's own",
    )
    engine: str | None = Field(default=None, description="Start the chain here; see /api/engines")
    languages: str | None = Field(default=None, examples=["eng+deu"])
    text: str = Field(default="auto", description="auto, force (always OCR) or only (never OCR)")
    pages: str | None = Field(default=None, examples=["1-3,5"])
    priority: str = Field(default="normal", description="interactive, normal or batch")
    password: str | None = Field(default=None, description="Opens a protected PDF; it is not kept")
    metadata: str | None = Field(default=None, description="A JSON object, echoed with the job")
    callback_url: str | None = Field(default=None, description="Told when the job has ended; see /api/webhooks")
    keep_days: float | None = Field(
        default=None, ge=0, le=36_500, description="Deleted so many days after its end; 0 keeps it. Else KEEP_JOBS_DAYS"
    )
    time_limit: Seconds | None = Field(default=None, description="Seconds from its start; then the rest is given up")
    page_time_limit: Seconds | None = Field(default=None, description="Seconds for each page")

    @field_validator("metadata", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        """In JSON it may be the object itself."""
        return json.dumps(value) if isinstance(value, dict) else value

    @field_validator("*", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object, info: Any) -> object:
        """A form sends an empty field for what was left out."""
        return cls.model_fields[info.field_name].default if value == "" else value

    def form(self, batch_id: str | None = None) -> Form:
        """The same for ``uploads``."""
        known = {name: getattr(self, name) for name in Fields.model_fields}
        unknown = sorted(str(name)[:40] for name in self.model_extra or {})
        return Form(**known, batch_id=batch_id, unknown=tuple(unknown[:10]))


class JobFields(Fields):
    """The fields of ``POST /api/jobs``."""

    source: str | None = Field(
        default=None,
        description="Instead of a file: its data URI or, where the server allows that, its http(s) or file address",
        examples=["data:image/png;base64,iVBORw0KGgo="],
    )
    filename: str | None = Field(default=None, description="A name for what `source` brings")
    batch: str | None = Field(default=None, description="The id of a batch that the job is to belong to")


OF_ONE_FILE = tuple(sorted(JobFields.model_fields.keys() - Fields.model_fields.keys()))
"""Fields that say something about a single file, and so nothing about a batch."""


@dataclass(frozen=True)
class Sent:
    """One request: files (none where ``source`` names one) and the fields beside them."""

    files: tuple[UploadFile, ...]
    fields: JobFields

    def fingerprint(self) -> str:
        """A hash of all that was sent, by which a repetition is told from something else. It reads the files."""
        digest = hashlib.sha256(self.fields.model_dump_json().encode())
        for file in self.files:
            found, _ = storage.sha256_of(file.file)
            digest.update(f"{file.filename}\0{found}\0".encode(errors="replace"))
        return digest.hexdigest()


async def _sent(request: Request) -> AsyncIterator[Sent]:
    """The body of a request, whichever it is."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        yield Sent((), _fields(await _json(request)))
        return
    async with request.form(max_files=MAX_FILES, max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES) as form:
        yield Sent(tuple(_files(form, ("file", "files"))), _fields(_texts(form)))


async def _json(request: Request) -> Any:
    try:
        return await request.json()
    except (ValueError, RecursionError) as error:
        raise RequestValidationError([{"type": "json_invalid", "loc": ("body",), "ctx": {}}]) from error


def _fields(values: Any) -> JobFields:
    try:
        return JobFields.model_validate(values)
    except ValidationError as error:
        found = [dict(one) | {"loc": ("body", *one["loc"])} for one in error.errors(include_url=False)]
        raise RequestValidationError(found) from error


def _files(form: FormData, names: Iterable[str]) -> Iterable[UploadFile]:
    for name in names:
        for value in form.getlist(name):
            if not isinstance(value, UploadFile):
                raise MissingFile(field=name)
            # A form whose file was not chosen sends one without a name and without a byte.
            if value.filename or value.size:
                yield value


def _texts(form: FormData) -> dict[str, str]:
    return {
        name: value for name, value in form.multi_items() if isinstance(value, str) and name not in ("file", "files")
    }


Submission = Annotated[Sent, Depends(_sent)]


def request_body(*, many: bool = False) -> dict[str, Any]:
    """The OpenAPI of such a body."""
    schema = JobFields.model_json_schema()
    properties = dict(schema["properties"])
    file = {"type": "string", "format": "binary", "description": FILE_DESCRIPTION}
    files: dict[str, Any] = {"files": {"type": "array", "items": file}} if many else {"file": file}
    if many:
        for name in OF_ONE_FILE:
            properties.pop(name)
    form = {"type": "object", "properties": files | properties}
    if not many:
        form["required"] = ["file"]
    content: dict[str, Any] = {"multipart/form-data": {"schema": form}}
    if not many:
        named = {"type": "object", "properties": properties, "required": ["source"]}
        named["properties"] = properties | {
            "source": {key: value for key, value in properties["source"].items() if key != "anyOf"}
            | {"type": "string"},
            "metadata": {"anyOf": [{"type": "object"}, {"type": "string"}, {"type": "null"}]},
        }
        content["application/json"] = {"schema": named}
    return {"requestBody": {"required": True, "content": content}}
