"""The task-note routes with keys and limits, which the old service did not have."""

from __future__ import annotations

from copyist.db import keys
from copyist.db.session import Database
from copyist.settings import Settings
from tests.api.conftest import Ask, with_settings
from tests.api.formula_engines import picture
from tests.api.test_refusals import assert_problem


@with_settings(api_keys="required", rate_limits="on", rate_limit_per_minute=1, rate_limit_key_factor=1)
def test_transactions_are_seen_by_their_owner_only_and_counted(ask: Ask, settings: Settings) -> None:
    image = {"image": ("note.png", picture())}
    assert_problem(ask("POST", "/api/upload/", files=image), 401, "unauthorized")
    db = Database(settings.database)
    with db.write() as session:
        mine, other = ({"X-API-Key": keys.create(session, name=name)[1]} for name in ("mine", "other"))
    db.close()
    taken = ask("POST", "/api/upload/", files=image, headers=mine)
    assert taken.status_code == 201
    for path in ("/api/status/", "/api/jobs/"):
        own = f"{path}{taken.json()['transaction_id']}/"
        assert ask("GET", own, headers=mine).json()["status"] == "pending"
        assert_problem(ask("GET", own, headers=other), 404, "not_found")
        assert_problem(ask("GET", own), 401, "unauthorized")
    # Said of the client and not of the image: the old shape would be a lie.
    assert_problem(ask("POST", "/api/upload/", files=image, headers=mine), 429, "too_many_requests")


def test_what_is_wrong_with_the_image_keeps_its_shape(ask: Ask) -> None:
    for files in ({"image": ("x.jpg", b"text")}, {"file": ("x.jpg", b"text")}, {"image": ("x.jpg", b"")}):
        answer = ask("POST", "/api/upload/", files=files)
        assert answer.status_code == 400
        assert answer.json()["error"]["image"][0].endswith(".")
