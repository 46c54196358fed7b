"""Formulas: a picture of one in, LaTeX and confidence out.

``latex`` is the one way in which LaTeX is written, cut into tokens and compared, shared by data, metric and API;
``picture`` brings what people send to what a model is shown, and ``vocabulary`` and ``config`` say what a model is. Own
models (``network``) are read with ONNX Runtime on a CPU and with torch on a GPU, both through ``decoding``; models that
others published by ``trocr_math`` and ``pix2tex``. ``engine`` is the guest of the chain. ``training.formula`` makes the
models, from the same parts.
"""
