"""``/api/keys``: make, list and revoke keys, and ask what one's own is good for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from copyist.api import openapi
from copyist.api.callers import Asks, Scope, needs
from copyist.api.cursors import Paging
from copyist.api.problems import InvalidRequest
from copyist.api.ratelimits import places_in_use, status
from copyist.api.schemas import NO_NUL, MomentOfAZone, shown
from copyist.api.service import Here
from copyist.db import keys
from copyist.db.keys import DEFAULT_SCOPES, Tier
from copyist.db.tables import ApiKey
from copyist.errors import Forbidden, InvalidOption, KeyMissing, NotFound, Unavailable

router = APIRouter(prefix="/api/keys", tags=["keys"])

KEY = {
    "id": "6d3c1f0e-52f4-4a53-9f0c-8a8c1f3f2b10",
    "hint": "ck_9vTqX",
    "name": "the scanner in the hall",
    "owner": "archive",
    "scopes": ["read", "write"],
    "tier": "standard",
    "created_at": "2026-03-01T09:30:00Z",
    "expires_at": None,
    "revoked_at": None,
    "last_used_at": "2026-03-02T08:00:00Z",
}
MADE = KEY | {"last_used_at": None, "key": "ck_9vTqX0cX1c0m2sB3n4v5b6n7m8q9w0e1r2t3y4u5i6o"}
WISH = {"name": "the scanner in the hall", "owner": "archive", "scopes": ["read", "write"]}
MINE = {
    "owner": "archive",
    "scopes": ["read", "write"],
    "tier": "standard",
    "limits": [{"window": "minute", "limit": 20, "remaining": 19, "reset_s": 42}],
    "concurrent": {"limit": 10, "taken": 1},
}


class KeyWish(BaseModel):
    """A key to be made."""

    model_config = shown(WISH)

    name: str = Field(min_length=1, max_length=200, pattern=NO_NUL, description="Where it is used, for people.")
    owner: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        pattern=NO_NUL,
        description="Whose jobs it makes and sees; several keys may have the same. Else the key is on its own.",
    )
    scopes: list[Scope] = Field(default=list(DEFAULT_SCOPES), min_length=1, max_length=20)
    tier: Literal["standard", "unlimited"] = Field(default="standard", description="`unlimited` has no rate limits.")
    expires_at: MomentOfAZone | None = Field(default=None, description="When it stops; null: when it is revoked.")


class KeyBody(BaseModel):
    """A key without its secret."""

    model_config = shown(KEY)

    id: str
    hint: str = Field(description="The first letters of the key.")
    name: str
    owner: str
    scopes: list[str]
    tier: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute.")


class MadeKey(KeyBody):
    """A key that was just made, together with what nobody can tell again."""

    model_config = shown(MADE)

    key: str = Field(description="Send it as X-API-Key. It is shown this once.")


class KeyList(BaseModel):
    """Some keys, newest first; ask again with ``cursor=next_cursor`` for more."""

    model_config = shown({"keys": [KEY], "next_cursor": None})

    keys: list[KeyBody]
    next_cursor: str | None


class WindowBody(BaseModel):
    """What is left of one window."""

    window: str
    limit: int
    remaining: int
    reset_s: int = Field(description="Seconds until all of it is free again; 0 if it is.")


class PlacesBody(BaseModel):
    """Uploads and waiting calls at the same time."""

    limit: int
    taken: int


class Mine(BaseModel):
    """Who asks, and what is allowed."""

    model_config = shown(MINE)

    owner: str = Field(description="Empty where no key was needed.")
    scopes: list[Scope]
    tier: Tier
    limits: list[WindowBody] = Field(description="Empty: no limits.")
    concurrent: PlacesBody | None


LOCATION = {"headers": {"Location": openapi.LOCATION["Location"] | {"description": "Where the key is."}}}
REFUSED = (KeyMissing, Forbidden, Unavailable)


def _body(key: ApiKey) -> KeyBody:
    return KeyBody.model_validate(key, from_attributes=True)


@router.post(
    "",
    status_code=201,
    summary="Make a key",
    dependencies=[needs(Scope.ADMIN)],
    responses=openapi.answers(*REFUSED, InvalidOption, InvalidRequest) | {201: LOCATION},
)
def create(here: Here, wish: KeyWish, response: Response) -> MadeKey:
    """The answer has the key in clear, this once: only its hash is kept."""
    if wish.expires_at is not None and wish.expires_at <= datetime.now(UTC):
        raise InvalidOption(value=wish.expires_at.isoformat(), option="expires_at", allowed="a moment to come")
    with here.db.write() as session:
        key, secret = keys.create(
            session,
            name=wish.name,
            owner=wish.owner,
            scopes=wish.scopes,
            tier=Tier(wish.tier),
            expires_at=wish.expires_at,
        )
    response.headers["Location"] = f"/api/keys/{key.id}"
    response.headers["Cache-Control"] = "no-store"
    return MadeKey(**_body(key).model_dump(), key=secret)


@router.get(
    "",
    summary="List keys, newest first",
    dependencies=[needs(Scope.ADMIN)],
    responses=openapi.answers(*REFUSED, InvalidOption, InvalidRequest),
)
def newest(
    here: Here,
    paging: Paging,
) -> KeyList:
    """Those that are revoked or have expired, too."""
    with here.db.read() as session:
        found = keys.newest(session, limit=paging.limit, before=paging.before)
    some, following = paging.cut(found)
    return KeyList(keys=[_body(key) for key in some], next_cursor=following)


@router.get("/me", summary="What my key is good for", responses=openapi.answers(KeyMissing, Unavailable))
def me(here: Here, caller: Asks) -> Mine:
    """Whoever asks: owner, scopes, and what is left of the limits. Asking counts for nothing."""
    places = places_in_use(here, caller)
    return Mine(
        owner=caller.owner,
        scopes=sorted(caller.scopes),
        tier=caller.tier,
        limits=[
            WindowBody(window=one.name, limit=one.limit, remaining=one.remaining, reset_s=one.reset_s)
            for one in status(here, caller)
        ],
        concurrent=PlacesBody(limit=places.limit, taken=places.taken) if places else None,
    )


@router.get(
    "/{key_id}",
    summary="Look at a key",
    dependencies=[needs(Scope.ADMIN)],
    responses=openapi.answers(*REFUSED, NotFound),
)
def one(here: Here, key_id: str) -> KeyBody:
    """Everything but the key itself."""
    with here.db.read() as session:
        return _body(keys.get(session, key_id))


@router.delete(
    "/{key_id}",
    status_code=204,
    summary="Revoke a key",
    response_description="The key is revoked",
    dependencies=[needs(Scope.ADMIN)],
    responses=openapi.answers(*REFUSED, NotFound),
)
def revoke(here: Here, key_id: str) -> None:
    """It opens nothing after 5 seconds at the latest. Revoking it again changes nothing."""
    with here.db.write() as session:
        keys.revoke(session, key_id)
    here.keys.forget(key_id)
