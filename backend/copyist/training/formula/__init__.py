"""Formulas: ink and pictures with their LaTeX in, a model that reads them out.

``ink`` is a formula as a pen wrote it, ``inkml`` reads it from files, ``raster`` draws it. ``grammar`` thinks formulas
up, ``layout`` says where their symbols stand, ``writing`` writes them in somebody's hand; ``generate`` makes a folder
of them. ``sets`` opens a folder, whichever kind it is, and ``lessons`` makes batches of it in several processes.
``loop`` trains, ``trainer`` is the whole of it, ``evaluate`` and ``report`` say what came of it, ``export`` writes what
ONNX Runtime reads.
"""
