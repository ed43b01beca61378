"""The plain way: FastAPI, one httpx client, four calls with `asyncio.gather`, the panels parsed and written again.

    python -m tests.bench.peers.plain_gateway PORT BACKEND

Tuned: uvicorn with uvloop and httptools, no access log; one client for all requests, with a pool that is large enough;
a `JSONResponse` rather than FastAPI's own serialization of a dict. No authentication.
"""

import asyncio
import sys
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI
from fastapi.responses import JSONResponse

PANELS = ("user", "orders", "notifications", "analytics")


def create_app(backend: str) -> FastAPI:
    app = FastAPI()
    client = httpx.AsyncClient(base_url=backend, timeout=2, limits=httpx.Limits(max_connections=512))

    async def read(panel: str, user_id: str) -> dict[str, Any]:
        try:
            answer = await client.get(f"/panels/{panel}/{user_id}")
            return {"status": "fresh", "data": answer.raise_for_status().json()}
        except httpx.HTTPError:
            return {"status": "unavailable", "data": None}

    @app.get("/dashboard/{user_id}")
    async def dashboard(user_id: str) -> JSONResponse:
        found = await asyncio.gather(*(read(panel, user_id) for panel in PANELS))
        return JSONResponse({"user_id": user_id, "panels": dict(zip(PANELS, found, strict=True))})

    return app


if __name__ == "__main__":
    app = create_app(sys.argv[2])
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", access_log=False, loop="uvloop", http="httptools")
