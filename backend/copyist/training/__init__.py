"""Learning from what people corrected: pictures of lines and their texts in, a model that was proven better out.

``crops`` cuts the lines that were corrected out of their pages; ``examples`` makes a dataset of them, with its manifest
and hash. A run works in a folder with an order (``order``) and is done by two processes of their own, so that memory is
given back and a kill harms nothing: ``python -m copyist.training train FOLDER`` (``lora``, ``frozen``, ``augment``,
``loop``) and, in a fresh one without peft, ``python -m copyist.training evaluate FOLDER`` (``scoring``, ``general``,
``calibration``). ``gate`` decides by what they found. Nothing here knows of the database, the queue or the API.

Modules that a worker's own process imports bring no torch: ``order``, ``examples``, ``crops``, ``gate``, ``scoring``.
"""
