"""From the settings' values to a chain of engines, the same for a worker of the queue and for ``copyist read``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from copyist.engines.base import DotsSettings, EngineSettings, Mode
from copyist.engines.chain import MOCK, Chain, Strategy, chain_order
from copyist.engines.registry import Registry


def engine_settings(values: Mapping[str, Any]) -> EngineSettings:
    """What engines may know of the configuration; ``values`` are the settings by name, in small letters."""
    return EngineSettings(
        weights=values["weights_dir"],
        tessdata=values["tessdata_prefix"],
        download=values["weights_download"],
        trocr=values["ocr_model"],
        champion=values["data_dir"] / "models" / "handwriting",
        nougat=values["nougat_model"],
        formula=values["formula_model"],
        dots=DotsSettings(
            servers=tuple(values["dots_ocr_url"]),
            flavour=values["dots_ocr_server"],
            served_model=values["dots_ocr_served_model"],
            api_key=values["dots_ocr_api_key"],
            timeout_s=values["dots_ocr_timeout_s"],
            model_path=values["dots_ocr_model_path"],
            dtype=values["dots_ocr_dtype"],
            quantization=values["dots_ocr_quantization"],
            on_cpu=values["dots_ocr_on_cpu"],
            at_once=values["dots_ocr_pages_at_once"],
            max_pixels=values["dots_ocr_max_pixels"],
            max_tokens=values["dots_ocr_max_tokens"],
            prompt=values["dots_ocr_prompt"],
        ),
    )


def make_chain(
    registry: Registry,
    wish: str | None,
    *,
    backend: str,
    fallback: Sequence[str],
    strategy: str,
    climb_below: float,
) -> Chain:
    """The chain for a wish (``None``: as configured); raises ``InvalidOption`` for an engine that does not exist.

    Somebody who asks for an engine gets that one first, whatever the strategy. An empty ``fallback`` is the default.
    Engines for formulas stand in every chain of real engines, however short: no other engine could read for them.
    """
    if wish is not None:
        registry.engine_class(wish)
    # A real engine is never placed after mock, so somebody who wants mock wants nothing else.
    names = (MOCK,) if wish == MOCK else chain_order(wish or backend, fallback or None, registry.names)
    if (wish or backend) != MOCK:
        names = tuple(dict.fromkeys((*names, *_made_for_formulas(registry, registry.names))))
    return Chain(registry, names, Strategy.BEST if wish else Strategy(strategy), climb_below, wished=wish)


def formula_engines(chain: Chain) -> dict[str, str]:
    """The engines of ``chain`` that are made for formulas and ready, with their versions: for what it leaves bare."""
    named = _made_for_formulas(chain.registry, chain.names)
    return {name: found.version for name in named if (found := chain.registry.check(name)).ready}


def formula_chain(chain: Chain) -> Chain | None:
    """The same as a chain; ``None`` where there is none."""
    ready = formula_engines(chain)
    return Chain(chain.registry, tuple(ready)) if ready else None


def _made_for_formulas(registry: Registry, names: Sequence[str]) -> list[str]:
    modes = {name: registry.engine_class(name).modes for name in names}
    return [name for name, read in modes.items() if Mode.FORMULA in read and Mode.DOCUMENT not in read]
