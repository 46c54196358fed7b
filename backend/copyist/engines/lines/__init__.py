"""Lines of handwriting on a page: where they run, and their pictures.

``find_lines`` is given a page and returns its lines from top to bottom, whatever their reading order; ``crop`` cuts one
out of the page. ``RECIPE`` names the method with its version: lines that were found by another are not the same lines.
The way is ``ink`` (what is writing), ``strip_profile`` with ``ruled_paper``, ``chains`` and ``small_print`` (where
lines run), ``ownership`` (which ink is whose), ``text_line`` (its picture); ``long_lines`` cuts for models that take
short lines.
"""

from __future__ import annotations

from copyist.engines.lines.segmentation import RECIPE as RECIPE
from copyist.engines.lines.segmentation import find_lines as find_lines
from copyist.engines.lines.text_line import TextLine as TextLine
from copyist.engines.lines.text_line import crop as crop
