"""Tests of Copyist; `from tests.servers import ...` works from here and from worker processes."""
