"""What the routes need, from where the lifespan has put it."""

from typing import Annotated

from fastapi import Depends, Request

from services.users.logins import Logins
from services.users.service import Accounts


async def _accounts(request: Request) -> Accounts:
    accounts: Accounts = request.app.state.accounts
    return accounts


async def _logins(request: Request) -> Logins:
    logins: Logins = request.app.state.logins
    return logins


AccountsDep = Annotated[Accounts, Depends(_accounts)]
LoginsDep = Annotated[Logins, Depends(_logins)]
