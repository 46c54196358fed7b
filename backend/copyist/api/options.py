"""The fields of an upload beside the file, checked against what the living workers can do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from copyist.document import Decoding, Mode, TextPolicy
from copyist.errors import InvalidOption
from copyist.languages import language_codes
from copyist.pageranges import read_ranges
from copyist.queue.routing import Priority, Queue

MAX_METADATA_BYTES = 16_384


@dataclass(frozen=True)
class Wishes:
    """Checked options: ``options`` as the job keeps them, the queue that serves them, and what to warn about."""

    options: dict[str, Any]
    labels: dict[str, Any]
    priority: Priority
    queue: Queue
    home_queue: Queue
    warnings: tuple[str, ...]


def check(
    *,
    mode: str | None,
    engine: str | None,
    languages: str | None,
    text: str,
    pages: str | None,
    priority: str,
    metadata: str | None,
    time_limit: float | None,
    page_time_limit: float | None,
    decoding: Decoding,
    engines: Mapping[str, Mapping[str, Any]],
    backend: str,
) -> Wishes:
    """Check every field; raises ``InvalidOption`` naming the values there are.

    ``engines`` is what the living workers have. While none is alive, engines and languages cannot be checked here; a
    job that asks for one that does not exist fails when it is taken in. Without a ``mode`` it is the only one that
    ``engine`` reads in, if it is.
    """
    mode = mode or _implied(engine, engines)
    _one_of("mode", mode, _modes(engines))
    _one_of("text", text, TextPolicy)
    _one_of("priority", priority, Priority)
    if engine is not None and engines:
        _one_of("engine", engine, engines)
    if pages is not None:
        read_ranges(pages)
    codes = language_codes(languages, engines)
    options: dict[str, Any] = {"mode": mode, "engine": engine, "languages": codes, "text": text}
    options |= {"pages": pages, "priority": priority, "decoding": decoding.model_dump(exclude_none=True)}
    options |= {"time_limit": time_limit, "page_time_limit": page_time_limit}
    return Wishes(
        options=options,
        labels=labels(metadata),
        priority=Priority(priority),
        queue=_queue(engine, engines, backend, only_ready=True),
        home_queue=_queue(engine, engines, backend, only_ready=False),
        warnings=_warnings(engine, engines),
    )


def _modes(engines: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """What pages can be read as: documents always, and what a ready engine says. The mock engine reads nothing."""
    ready = [facts["modes"] for name, facts in engines.items() if facts["ready"] and name != "mock"]
    # Handwriting and papers fall to the engines for documents where none of their own is ready.
    return {Mode.DOCUMENT, Mode.HANDWRITING, Mode.PAPER, *(mode for modes in ready for mode in modes)}


def _implied(engine: str | None, engines: Mapping[str, Mapping[str, Any]]) -> str:
    """The only mode of the engine that was asked for; documents are what everybody else means."""
    modes: list[str] = engines.get(engine or "", {}).get("modes", [])
    return modes[0] if len(modes) == 1 else Mode.DOCUMENT.value


def _one_of(option: str, value: str, allowed: Any) -> None:
    names = sorted(str(one) for one in allowed)
    if value not in names:
        raise InvalidOption(value=value[:40], option=option, allowed="one of: " + ", ".join(names))


def labels(metadata: str | None) -> dict[str, Any]:
    """The JSON object that ``metadata`` is; raises ``InvalidOption``."""
    if not metadata:
        return {}
    try:
        found = json.loads(metadata) if len(metadata.encode()) <= MAX_METADATA_BYTES else None
        # Python reads more than JSON holds: half a character, NaN, numbers without end. What goes in must come out.
        json.dumps(found, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InvalidOption(value=metadata[:40], option="metadata", allowed="a JSON object of at most 16 kB")
    return found


def _queue(engine: str | None, engines: Mapping[str, Mapping[str, Any]], backend: str, *, only_ready: bool) -> Queue:
    """Pages belong on the GPU queue when the chain starts at an engine that needs one.

    They go there now when somebody has it ready.
    """
    wanted = engines.keys() if engine is None and backend == "auto" else {engine or backend}
    starts = [facts for name, facts in engines.items() if name in wanted and (facts["ready"] or not only_ready)]
    return Queue.GPU if any(facts["needs_gpu"] for facts in starts) else Queue.CPU


def _warnings(engine: str | None, engines: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    facts = engines.get(engine or "")
    if facts and not facts["ready"]:
        return (f"The engine {engine} is not ready ({facts['reason']}), so the next one reads.",)
    return ()
