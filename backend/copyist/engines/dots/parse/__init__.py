"""From what the model wrote to blocks of a page."""
