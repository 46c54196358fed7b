"""What dots.ocr is asked, word for word as it was trained: other words give other answers.

Source: ``dots_ocr/utils/prompts.py`` of the dots.ocr repository (MIT licence), there named ``prompt_layout_all_en``,
``prompt_layout_only_en``, ``prompt_ocr`` and ``prompt_grounding_ocr``.
"""

from __future__ import annotations

from types import MappingProxyType

from copyist.engines.dots.backend import Prompt

_LAYOUT = """Please output the layout information from the PDF image, including each layout element's bbox, its \
category, and the corresponding text content within the bbox.

1. Bbox format: [x1, y1, x2, y2]

2. Layout Categories: The possible categories are ['Caption', 'Footnote', 'Formula', 'List-item', 'Page-footer', \
'Page-header', 'Picture', 'Section-header', 'Table', 'Text', 'Title'].

3. Text Extraction & Formatting Rules:
    - Picture: For the 'Picture' category, the text field should be omitted.
    - Formula: Format its text as LaTeX.
    - Table: Format its text as HTML.
    - All Others (Text, Title, etc.): Format their text as Markdown.

4. Constraints:
    - The output text must be the original text from the image, with no translation.
    - All layout elements must be sorted according to human reading order.

5. Final Output: The entire output must be a single JSON object.
"""

_LAYOUT_ONLY = (
    "Please output the layout information from this PDF image, including each layout's bbox and its category. The bbox "
    "should be in the format [x1, y1, x2, y2]. The layout categories for the PDF document include ['Caption', "
    "'Footnote', 'Formula', 'List-item', 'Page-footer', 'Page-header', 'Picture', 'Section-header', 'Table', 'Text', "
    "'Title']. Do not output the corresponding text. The layout result should be in JSON format."
)

_REGION = "Extract text from the given bounding box on the image (format: [x1, y1, x2, y2]).\nBounding Box:\n"

WORDINGS = MappingProxyType(
    {
        Prompt.LAYOUT: _LAYOUT,
        Prompt.LAYOUT_ONLY: _LAYOUT_ONLY,
        Prompt.TEXT: "Extract the text content from this image.",
        Prompt.REGION: _REGION,
    }
)


def wording(prompt: Prompt, region: tuple[int, int, int, int] | None = None) -> str:
    """The words for ``prompt``; ``region`` is the box for ``Prompt.REGION``, in pixels of the image the model is shown.

    Raises ``ValueError`` for a region prompt without a box.
    """
    if prompt is not Prompt.REGION:
        return WORDINGS[prompt]
    if region is None:
        raise ValueError("The prompt for a region needs its box.")
    return WORDINGS[prompt] + str([int(side) for side in region])
