"""Formulas: ink and pictures with their LaTeX in, a model that reads them out.

``ink`` is a formula as a pen wrote it, ``inkml`` reads it from files, ``raster`` draws it. ``grammar`` thinks formulas
up, ``tree`` takes one apart, ``layout`` says where its symbols stand, ``writing`` writes it in somebody's hand, with
the forms of ``glyphs``; ``generate`` makes a folder of them. ``sets`` opens a folder, whichever kind it is, ``lessons``
draws what is in it in several processes, otherwise each time (``augment``); ``batches`` have pictures of one size.
``loop`` trains, ``evaluate`` and ``report`` say what came of it, ``export`` writes what ONNX Runtime reads.

``python -m copyist.training.formula`` is what the command line starts, by an ``order``: ``trainer``, ``examiner``,
``exporter``, ``maker``.
"""
