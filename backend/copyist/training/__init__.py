"""Learning from what people corrected: pictures of lines and their texts in, a model that was proven better out.

``crops`` cuts the lines that were corrected out of their pages; ``examples`` makes a dataset of them, with its manifest
and hash. A run works in a folder with an order (``order``) and is done by two processes of their own, so that memory is
given back and a kill harms nothing. ``python -m copyist.training train FOLDER`` is ``trainer``: ``lessons``, ``lora``,
``augment``, ``frozen`` with ``views``, ``loop``, ``checkpoint``, ``merging``. ``python -m copyist.training evaluate
FOLDER``, in a fresh process without peft, is ``evaluate``: ``compare``, ``scoring``, ``general`` with ``strokes``,
``calibration``. ``gate`` decides by what they found, and ``tracking`` tells MLflow. Nothing here knows of the database,
the queue or the API.

Modules that a worker's own process imports bring no torch: ``order``, ``examples``, ``crops``, ``gate``, ``bootstrap``.
"""
