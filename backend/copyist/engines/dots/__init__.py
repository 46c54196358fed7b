"""dots.ocr and dots.mocr: a page in, its layout and text out; on a server or on a GPU here."""
