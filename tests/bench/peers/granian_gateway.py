"""Our gateway, as granian would serve it: `granian --factory tests.bench.peers.granian_gateway:create_app`."""

from fastapi import FastAPI

from services.gateway.main import create_app as create_gateway
from services.gateway.settings import Settings
from shared import logs


def create_app() -> FastAPI:
    settings = Settings()
    logs.configure("gateway", settings)
    return create_gateway(settings)
