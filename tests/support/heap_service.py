"""A service that reports the state of its garbage collector: `python -m tests.support.heap_service PORT`.

GET /built: whether the collector examines objects that were created while the application started · POST /garbage:
create a cycle, which is garbage once it has become old · GET /garbage: whether it still exists
"""

import gc
import sys
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from shared.config.settings import ServiceSettings
from shared.server import serve


class Cycle:
    def __init__(self) -> None:
        self.itself = self


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.built = Cycle()
    yield


app = FastAPI(lifespan=lifespan)


@app.get("/built")
async def read_built() -> bool:
    return any(each is app.state.built for each in gc.get_objects())


@app.post("/garbage")
async def make_garbage() -> None:
    cycle = Cycle()
    app.state.garbage = weakref.ref(cycle)
    gc.collect(0)


@app.get("/garbage")
async def read_garbage() -> bool:
    return app.state.garbage() is not None


if __name__ == "__main__":
    serve.run("heap", app, ServiceSettings(environment="development", port=int(sys.argv[1])))
