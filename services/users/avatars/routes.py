"""Profile pictures: uploaded raw or in a form, visible to every signed-in user."""

from http import HTTPStatus
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.responses import Response

from services.users.avatars.errors import AvatarNotFound, TooManyPictures, UnsupportedUpload, UnusablePicture
from services.users.avatars.service import AvatarsDep
from services.users.avatars.thumbnailer import PicturesDep
from services.users.errors import UserNotFound
from services.users.models import User
from services.users.schemas import Profile
from shared.contracts.internal_api import MAX_PICTURE_BYTES
from shared.http.identity import CallerDep
from shared.http.openapi import described

FORM = "multipart/form-data"
PICTURES = ("image/png", "image/jpeg", "image/webp")
ALIASES = (
    *("image/apng", "image/x-png", "image/vnd.mozilla.apng"),
    *("image/jpg", "image/jpe", "image/jfif", "image/pjpeg", "image/pjp", "image/x-jpeg", "image/x-jpg"),
    *("image/x-webp", "image/*", "application/octet-stream", "binary/octet-stream", ""),
)
"""Other names of these types that clients send. The content decides, not the name."""
FIELD = "file"
YEAR_S = 365 * 24 * 60 * 60
Size = Literal["64", "256"]

BODY = {
    "requestBody": {
        "required": True,
        "description": f"at most 10 MiB and 50 megapixels; or the picture itself, as {', '.join(PICTURES)}",
        "content": {
            FORM: {
                "schema": {
                    "type": "object",
                    "required": [FIELD],
                    "properties": {FIELD: {"type": "string", "format": "binary"}},
                }
            },
        },
    }
}
"""One type, although several are accepted: generators of clients cannot tell bodies of bytes apart."""

router = APIRouter(tags=["accounts"])


@router.put(
    "/v1/me/avatar",
    response_model=Profile,
    openapi_extra=BODY,
    **described("set_avatar", "Set your picture", UserNotFound, UnusablePicture, UnsupportedUpload, TooManyPictures),
)
async def put_avatar(request: Request, caller: CallerDep, pictures: PicturesDep, avatars: AvatarsDep) -> User:
    """Set your picture, replacing any other: the first frame of an animation, and the central square of all."""
    async with pictures.place(caller.user_id) as place:
        thumbnails = await pictures.thumbnails(await _sent(Request(request.scope, place.heard(request.receive))))
    return await avatars.put(caller.user_id, thumbnails)


@router.delete(
    "/v1/me/avatar",
    status_code=HTTPStatus.NO_CONTENT,
    **described("delete_avatar", "Remove your picture", UserNotFound),
)
async def delete_avatar(caller: CallerDep, avatars: AvatarsDep) -> None:
    """Remove your picture."""
    await avatars.delete(caller.user_id)


@router.get(
    "/v1/users/{user_id}/avatar",
    response_class=Response,
    **described(
        "read_avatar",
        "Read a user's picture",
        AvatarNotFound,
        responses={
            200: {"content": {"image/webp": {"schema": {"type": "string", "format": "binary"}}}},
            304: {"description": "as in `If-None-Match`"},
        },
    ),
)
async def read_avatar(
    user_id: UUID,
    _: CallerDep,
    avatars: AvatarsDep,
    request: Request,
    size: Size = "64",
    v: Annotated[
        str | None, Query(description="as in `avatar_url`: the response may then be cached", examples=["5f2a1c09"])
    ] = None,
) -> Response:
    """Return a user's picture, as WebP, `size` pixels wide and high."""
    found = await avatars.get(user_id, int(size))
    etag = f'"{found.digest}-{size}"'
    headers = {
        "ETag": etag,
        "Cache-Control": f"private, max-age={YEAR_S}, immutable" if v == found.digest else "private, no-cache",
        "X-Content-Type-Options": "nosniff",
    }
    if knows_etag(request.headers.get("If-None-Match", ""), etag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(found.content, media_type="image/webp", headers=headers)


def knows_etag(if_none_match: str, etag: str) -> bool:
    """Return whether the client has this version."""
    known = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in known or "*" in known


async def _sent(request: Request) -> bytes:
    """Return the picture in the body. Raises `UnsupportedUpload`, `UnusablePicture`."""
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind in PICTURES or kind in ALIASES:
        return await request.body()
    if kind == FORM:
        return await from_form(request)
    raise UnsupportedUpload


async def from_form(request: Request) -> bytes:
    parser = MultiPartParser(request.headers, request.stream(), max_files=1, max_fields=0)
    parser.spool_max_size = MAX_PICTURE_BYTES  # in memory: the file system may be read-only
    try:
        form = await parser.parse()
    except MultiPartException as broken:
        raise UnusablePicture.of(FIELD, broken.message) from broken
    try:
        file = form.get(FIELD)
        if not isinstance(file, UploadFile):
            raise UnusablePicture.of(FIELD, "is missing")
        return await file.read()
    finally:
        await form.close()
