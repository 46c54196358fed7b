"""Lines of handwriting on a page: where they run, and their pictures.

``find_lines`` is given a page and returns its lines in no reading order but from top to bottom; ``crop`` cuts one out.
``RECIPE`` names the method with its version: lines that were found by another are not the same lines.
"""

from __future__ import annotations

from copyist.engines.lines.segmentation import RECIPE as RECIPE
from copyist.engines.lines.segmentation import find_lines as find_lines
from copyist.engines.lines.text_line import TextLine as TextLine
from copyist.engines.lines.text_line import crop as crop
