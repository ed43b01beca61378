"""Profile pictures as a feature of the users service."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from services.users.avatars.routes import router
from services.users.avatars.service import Avatars
from services.users.avatars.settings import AvatarSettings, AvatarTuning
from services.users.avatars.thumbnailer import Pictures
from services.users.settings import Settings, Tuning
from shared.contracts.internal_api import MAX_PICTURE_BYTES
from shared.feature import Feature


def feature(settings: Settings, tuning: Tuning) -> Feature[FastAPI]:
    processes = AvatarSettings(**dict(settings)).picture_processes

    @asynccontextmanager
    async def opened(app: FastAPI) -> AsyncIterator[None]:
        app.state.avatars = Avatars(app.state.db)
        app.state.pictures = Pictures(processes, tuning.of(AvatarTuning).picture_queue)
        yield

    return Feature(routes=(router,), body_limits={"/v1/me/avatar": MAX_PICTURE_BYTES}, open=opened)
