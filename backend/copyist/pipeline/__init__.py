"""The way of one page, from the bytes of a file to a ``Page`` in the coordinates of the page as uploaded."""
