from __future__ import annotations

import json
from datetime import date

import pytest

from copyist.document import Document
from copyist.errors import InvalidOption
from copyist.exports import EXPORTS, export
from tests.exports.conftest import Write


@pytest.mark.parametrize("extension", EXPORTS)
def test_every_export_writes_utf8_even_of_nothing(extension: str) -> None:
    assert isinstance(export(Document(), extension).decode("utf-8"), str)
    assert EXPORTS[extension].extension == extension


def test_an_unknown_extension_is_answered_with_those_there_are() -> None:
    with pytest.raises(InvalidOption) as caught:
        export(Document(), "exe")
    assert "txt, md, json, todo.json" in caught.value.detail


def test_the_day_of_upload_reaches_the_tasks(write: Write) -> None:
    data = export(write("- Renew the lease by Dec 17"), "todo.json", uploaded=date(2031, 12, 18))
    assert json.loads(data)["tasks"][0]["due_date"] == "2032-12-17"


def test_without_a_day_of_upload_dates_count_from_today(write: Write) -> None:
    data = export(write("- Renew the lease by Dec 17"), "todo.json")
    assert json.loads(data)["tasks"][0]["due_date"] >= date.today().isoformat()
