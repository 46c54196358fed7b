"""A font without glyphs, for text that is to be found and copied but never seen.

Every character of a document gets the next free number (CID) as it comes up. All of them share one empty glyph that is
half as wide as the font is high; a table (``/ToUnicode``) leads from the numbers back to the characters. So any
character there is can be written, and the font costs a few hundred bytes. The idea is that of the invisible font in
Tesseract's PDFs.
"""

from __future__ import annotations

import struct
from typing import Final

from copyist.exports.pdf_file import PdfWriter, reference

ADVANCE: Final = 0.5
"""How wide every character is, in font sizes."""
ASCENT, DESCENT = 0.8, 0.2
"""How far the font reaches over and under the baseline, in font sizes."""
_UNITS: Final = 1000
_WIDE, _UP, _DOWN = round(ADVANCE * _UNITS), round(ASCENT * _UNITS), round(DESCENT * _UNITS)
_MOST_CIDS: Final = 65_535
_BLOCK: Final = 100
"""A table of characters comes in blocks of at most this many rows (Adobe Technical Note 5411)."""


class InvisibleFont:
    """The characters of one document, numbered as they come up, and the objects that make a font of them."""

    def __init__(self, writer: PdfWriter) -> None:
        self._writer = writer
        self._codes = _Codes()
        self._number: int | None = None

    @property
    def number(self) -> int:
        """The number of the font's object, which ``finish`` writes."""
        if self._number is None:
            self._number = self._writer.reserve()
        return self._number

    @property
    def is_unused(self) -> bool:
        """Whether no object names the font."""
        return self._number is None

    def encode(self, text: str) -> str:
        """``text`` as hexadecimal digits, four for each character."""
        return "".join(map(self._codes.__getitem__, text))

    def finish(self) -> None:
        """Write the font, once all text is encoded; nothing where none was."""
        if self._number is None:
            return
        put = self._writer.put
        program = _program()
        file = self._writer.put_deflated(program, b"/Length1 %d" % len(program))
        descriptor = put(
            b"<</Type/FontDescriptor/FontName/CopyistInvisible/Flags 4/FontBBox[0 %d %d %d]/ItalicAngle 0"
            b"/Ascent %d/Descent %d/CapHeight %d/StemV 80/FontFile2 %b>>"
            % (-_DOWN, _WIDE, _UP, _UP, -_DOWN, _UP, reference(file))
        )
        to_glyph = self._writer.put_deflated(b"\0\0" + b"\0\1" * len(self._codes))
        cid_font = put(
            b"<</Type/Font/Subtype/CIDFontType2/BaseFont/CopyistInvisible/DW %d/CIDToGIDMap %b/FontDescriptor %b"
            b"/CIDSystemInfo<</Registry(Adobe)/Ordering(Identity)/Supplement 0>>>>"
            % (_WIDE, reference(to_glyph), reference(descriptor))
        )
        to_unicode = self._writer.put_deflated(_to_unicode(self._codes))
        put(
            b"<</Type/Font/Subtype/Type0/BaseFont/CopyistInvisible/Encoding/Identity-H/DescendantFonts[%b]"
            b"/ToUnicode %b>>" % (reference(cid_font), reference(to_unicode)),
            self._number,
        )


class _Codes(dict[str, str]):
    """Each character's number, made when it is first asked for. What comes after the last number is ``U+FFFD``."""

    def __missing__(self, character: str) -> str:
        if len(self) >= _MOST_CIDS - 1 and character != "\N{REPLACEMENT CHARACTER}":
            return self["\N{REPLACEMENT CHARACTER}"]
        self[character] = code = f"{len(self) + 1:04x}"
        return code


def _to_unicode(codes: _Codes) -> bytes:
    """The table from numbers to characters (ISO 32000-1, 9.10.3)."""
    rows = [f"<{code}> <{character.encode('utf-16-be', 'replace').hex()}>" for character, code in codes.items()]
    blocks = [rows[at : at + _BLOCK] for at in range(0, len(rows), _BLOCK)]
    body = "\n".join(f"{len(block)} beginbfchar\n" + "\n".join(block) + "\nendbfchar" for block in blocks)
    return (
        "/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n"
        "/CIDSystemInfo << /Registry (Adobe) /Ordering (UCS) /Supplement 0 >> def\n"
        "/CMapName /Adobe-Identity-UCS def\n/CMapType 2 def\n"
        f"1 begincodespacerange\n<0000> <ffff>\nendcodespacerange\n{body}\n"
        "endcmap\nCMapName currentdict /CMap defineresource pop\nend\nend\n"
    ).encode()


def _program() -> bytes:
    """A TrueType font of two empty glyphs, with the six tables that a PDF asks for (ISO 32000-1, 9.9).

    The layout of each table is that of the OpenType specification's page of the same name.
    """
    tables = {
        b"glyf": bytes(4),
        # Version, revision, sum, magic number, flags, units; two dates; the box of all glyphs; style, smallest size,
        # direction, short offsets in "loca", format of "glyf".
        b"head": struct.pack(
            ">IIIIHHqq4hHHhhh", 0x10000, 0x10000, 0, 0x5F0F3CF5, 0, _UNITS, 0, 0, 0, -_DOWN, _WIDE, _UP, 0, 3, 2, 0, 0
        ),
        # Version, ascent, descent, gap, widest; bearings, extent and caret; how many widths "hmtx" holds.
        b"hhea": struct.pack(">IhhhHhhhhhhhhhhhH", 0x10000, _UP, -_DOWN, 0, _WIDE, 0, 0, 0, 1, *[0] * 7, 1),
        # One width with its bearing, and the bearing of the other glyph.
        b"hmtx": struct.pack(">Hhh", _WIDE, 0, 0),
        # Both glyphs begin and end at 0.
        b"loca": bytes(6),
        # Version, glyphs, and the most points, contours, ... that one has; a font has one zone at least.
        b"maxp": struct.pack(">IH13H", 0x10000, 2, 0, 0, 0, 0, 1, *[0] * 8),
    }
    directory, bodies = b"", b""
    start = 12 + 16 * len(tables)
    for tag, body in tables.items():
        padded = body + bytes(-len(body) % 4)
        directory += struct.pack(">4sIII", tag, _sum(padded), start + len(bodies), len(body))
        bodies += padded
    # Four tables, the largest power of two, fit the search range: 16 x 4, its logarithm, and what is left.
    font = struct.pack(">IHHHH", 0x10000, len(tables), 64, 2, 16 * len(tables) - 64) + directory + bodies
    at = start + len(tables[b"glyf"]) + 8  # where "head" keeps what brings the sum of the whole to a fixed number
    return font[:at] + struct.pack(">I", (0xB1B0AFBA - _sum(font)) & 0xFFFFFFFF) + font[at + 4 :]


def _sum(data: bytes) -> int:
    words: tuple[int, ...] = struct.unpack(f">{len(data) // 4}I", data)
    return sum(words) & 0xFFFFFFFF
