"""The stack of ``docker compose up``, with a real container engine: ``make compose-test``."""
