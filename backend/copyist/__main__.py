"""``python -m copyist`` is the command ``copyist``."""

from copyist.cli import app

app()
