"""The queue: Celery's tasks and what they join: database, storage, pipeline and engines."""
