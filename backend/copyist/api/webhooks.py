"""Webhooks: where an owner is told of jobs, and what was delivered."""

from __future__ import annotations

from copyist.api.service import Service


def checked_url(service: Service, url: str | None) -> str | None:  # noqa: ARG001
    """An address that messages may be sent to, as far as can be said without asking for it."""
    return url or None
