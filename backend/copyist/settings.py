"""Settings: environment names without a prefix, then ``.env``, then the defaults below, which work on a laptop.

Read once at an edge (a command, the API's or the worker's start) by ``load()`` and handed down as values.
"""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from copyist.errors import ConfigurationError
from copyist.languages import standard_code

Names = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """All settings of Copyist. Names in the environment are the field names in capitals."""

    model_config = SettingsConfigDict(env_file=".env", env_file_encoding="utf-8", extra="ignore", frozen=True)

    # Where it runs.
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    data_dir: Path = Path("data")
    database_url: str = ""
    redis_url: str = ""
    storage_url: str = ""
    cors_origins: Names = ()
    published_on: str = ""
    allowed_hosts: Names = ()
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"

    # Who reads.
    ocr_backend: str = "auto"
    ocr_fallback: Names = ()
    ocr_strategy: Literal["best", "fast"] = "best"
    ocr_languages: Names = ("eng",)
    ocr_confidence_threshold: float = Field(default=0.6, ge=0, le=1)
    ocr_climb_threshold: float = Field(default=0.94, ge=0, le=1)
    ocr_plugins: Names = ()
    ocr_model: Path | None = None
    nougat_model: Path | None = None
    formula_model: Path | None = None
    dots_ocr_model_path: Path | None = None
    dots_ocr_url: Names = ()
    dots_ocr_server: Literal["vllm", "sglang", "llamacpp", "ollama"] = "vllm"
    dots_ocr_served_model: str = ""
    dots_ocr_api_key: str = Field(default="", repr=False)
    dots_ocr_timeout_s: float = Field(default=180, ge=1)
    dots_ocr_prompt: Literal["layout", "layout_only", "text"] = "layout"
    dots_ocr_pages_at_once: int = Field(default=0, ge=0, le=256)
    dots_ocr_max_pixels: int = Field(default=11_289_600, ge=3136, le=11_289_600)
    dots_ocr_max_tokens: int = Field(default=16_384, ge=256, le=131_072)
    dots_ocr_dtype: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    dots_ocr_quantization: Literal["none", "int8", "nf4"] = "none"
    dots_ocr_on_cpu: bool = False
    model_idle_seconds: float = Field(default=300, ge=0)
    weights_dir: Path = Path("weights")
    weights_download: bool = False
    tessdata_prefix: Path | None = None
    result_cache: bool = True
    celery_worker_concurrency: int = Field(default=2, ge=1, le=256)

    # What may come in.
    max_bytes: int = Field(default=200_000_000, ge=1)
    max_pages: int = Field(default=2000, ge=1)
    max_pixels: int = Field(default=100_000_000, ge=1)
    wait_max_s: float = Field(default=60, ge=0)
    upload_idle_s: float = Field(default=30, ge=1)
    job_time_limit_s: float = Field(default=0, ge=0)
    page_time_limit_s: float = Field(default=0, ge=0)
    max_open_jobs: int = Field(default=100_000, ge=1)
    fetch_folders: Names = ()
    fetch_urls: bool = False

    # Who may ask, and how much.
    api_keys: Literal["auto", "required", "off"] = "auto"
    rate_limits: Literal["auto", "on", "off"] = "auto"
    rate_limit_per_minute: int = Field(default=10, ge=1)
    rate_limit_per_hour: int = Field(default=100, ge=1)
    rate_limit_per_day: int = Field(default=500, ge=1)
    rate_limit_concurrent: int = Field(default=5, ge=1)
    rate_limit_key_factor: float = Field(default=2, gt=0)

    # Whom it tells.
    webhooks: bool = True
    webhook_private_addresses: bool = False
    webhook_timeout_s: float = Field(default=10, ge=0.1)
    webhook_attempts: int = Field(default=10, ge=1, le=30)
    otel_exporter_otlp_endpoint: str = ""

    # What it learns from corrections.
    training: Literal["auto", "off"] = "auto"
    retrain_after: int = Field(default=50, ge=1)
    train_at: str = Field(default="02:00", pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9])?$")
    train_min_lines: int = Field(default=32, ge=1)
    train_corrected_share: float = Field(default=0.3, gt=0, le=1)
    train_epochs: int = Field(default=10, ge=1, le=1000)
    train_batch: int = Field(default=8, ge=1, le=256)
    train_learning_rate: float = Field(default=3e-4, gt=0, le=1)
    train_lora_rank: int = Field(default=16, ge=1, le=512)
    train_encoder_layers: int = Field(default=2, ge=0)
    train_blend: float = Field(default=0.6, gt=0, le=1)
    train_while_reading: bool = False
    train_time_limit_h: float = Field(default=24, gt=0, le=1000)
    general_set: Path | None = None
    general_lines: int = Field(default=800, ge=10, le=100_000)
    gate_min_pages: int = Field(default=10, ge=2)
    gate_margin: float = Field(default=0.5, ge=0, le=100)
    keep_models: int = Field(default=5, ge=1)
    mlflow_tracking_uri: str = ""

    # How long it stays.
    keep_jobs_days: float = Field(default=0, ge=0, le=36_500)

    # How work is kept from being lost.
    page_window: int = Field(default=0, ge=0)
    page_attempts: int = Field(default=3, ge=1)
    lease_s: float = Field(default=20, ge=3)
    sweep_interval_s: float = Field(default=5, ge=0.2)
    resend_after_s: float = Field(default=15, ge=0.5)
    engine_timeout_s: float = Field(default=240, ge=1)
    intake_timeout_s: float = Field(default=60, ge=1)
    worker_max_tasks_per_child: int = Field(default=500, ge=0)

    # Who watches it.
    flower_user: str = ""
    flower_password: str = Field(default="", repr=False)
    flower_port: int = Field(default=5555, ge=0, le=65535)
    flower_url_prefix: str = ""

    @field_validator(
        "ocr_fallback",
        "ocr_languages",
        "ocr_plugins",
        "cors_origins",
        "dots_ocr_url",
        "fetch_folders",
        "allowed_hosts",
        mode="before",
    )
    @classmethod
    def _split(cls, value: object, field: ValidationInfo) -> object:
        """Lists are written ``a,b``; for languages ``eng+deu`` is understood too."""
        if not isinstance(value, str):
            return value
        listed = value.replace("+", ",") if field.field_name == "ocr_languages" else value
        return tuple(part.strip() for part in listed.split(",") if part.strip())

    @field_validator("ocr_languages")
    @classmethod
    def _as_tesseract_names_them(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(standard_code(name) or name for name in value)

    @field_validator(
        "tessdata_prefix",
        "ocr_model",
        "nougat_model",
        "formula_model",
        "dots_ocr_model_path",
        "general_set",
        mode="before",
    )
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @property
    def database(self) -> str:
        """SQLAlchemy URL: ``DATABASE_URL``, else SQLite in the data folder."""
        url = self.database_url or f"sqlite:///{(self.data_dir / 'copyist.db').absolute()}"
        # SQLAlchemy 2.1 takes plain postgresql:// for psycopg 3; this project ships psycopg2.
        for plain in ("postgresql://", "postgres://"):
            if url.startswith(plain):
                return "postgresql+psycopg2://" + url.removeprefix(plain)
        return url

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the API: ``PUBLISHED_ON``, else ``HOST``, is an address of loopback."""
        host = (self.published_on or self.host).strip("[]")
        try:
            return host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False

    @property
    def needs_keys(self) -> bool:
        """Whether nobody is let in without a key."""
        return self.api_keys == "required" or (self.api_keys == "auto" and not self.is_local)

    @property
    def has_limits(self) -> bool:
        """Whether uploads are counted: not on a machine of one's own, unless it is wanted."""
        return self.rate_limits == "on" or (self.rate_limits == "auto" and not (self.is_local and not self.needs_keys))

    @property
    def keep_jobs(self) -> timedelta | None:
        """How long a job is kept after its end; ``None``: until somebody deletes it."""
        return timedelta(days=self.keep_jobs_days) if self.keep_jobs_days else None

    @property
    def storage(self) -> str:
        """Blob store URL: ``STORAGE_URL``, else ``file://`` in the data folder."""
        return self.storage_url or (self.data_dir / "files").absolute().as_uri()


def load(**overrides: object) -> Settings:
    """Read the settings; ``overrides`` win. Raises ``ConfigurationError`` naming the setting that cannot work."""
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"]).upper()
        raise ConfigurationError(problem=f"The setting {name} cannot work: {first['msg']}.") from error
