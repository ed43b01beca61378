"""Dependencies of the routes, which the lifespan has created."""

from typing import Annotated

from fastapi import Depends, Request

from services.users.accounts.service import Accounts
from services.users.avatars.service import Avatars
from services.users.avatars.thumbnailer import Pictures
from services.users.sessions.service import Logins


async def _accounts(request: Request) -> Accounts:
    accounts: Accounts = request.app.state.accounts
    return accounts


async def _logins(request: Request) -> Logins:
    logins: Logins = request.app.state.logins
    return logins


async def _avatars(request: Request) -> Avatars:
    avatars: Avatars = request.app.state.avatars
    return avatars


async def _pictures(request: Request) -> Pictures:
    pictures: Pictures = request.app.state.pictures
    return pictures


AccountsDep = Annotated[Accounts, Depends(_accounts)]
LoginsDep = Annotated[Logins, Depends(_logins)]
AvatarsDep = Annotated[Avatars, Depends(_avatars)]
PicturesDep = Annotated[Pictures, Depends(_pictures)]
