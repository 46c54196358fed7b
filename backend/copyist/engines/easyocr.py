"""EasyOCR (being written)."""

from copyist.engines.mock import Mock
from copyist.engines.base import Availability, EngineSettings


class EasyOcr(Mock):
    """Placeholder until the adapter is there."""

    name = "easyocr"
    cost = 30.0

    @classmethod
    def check(cls, settings: EngineSettings) -> Availability:
        """Not ready."""
        return Availability(ready=False, reason="Being written.")
