"""The model in this process: its vision tower, its language model, and batches of questions."""
