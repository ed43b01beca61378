"""The choice of the backends: TEST_BACKENDS=docker|local; by default containers, if Docker and the images are
available."""

import gc
import os
import warnings

import docker
from docker.errors import DockerException

from tests.support.backends.interface import Backends


def choose(wish: str | None = None) -> Backends:
    wish = wish or os.environ.get("TEST_BACKENDS") or ("docker" if _docker_can() else "local")
    if wish == "docker":
        from tests.support.backends.containers import ContainerBackends

        return ContainerBackends()
    if wish == "local":
        from tests.support.backends.local import LocalBackends

        return LocalBackends()
    raise ValueError(f"TEST_BACKENDS is {wish!r}: use docker or local")


def _docker_can() -> bool:
    from tests.support.backends.containers import IMAGES

    client = _client()
    if client is None:
        return False
    try:
        return all(_have(client, image) for image in IMAGES)
    finally:
        client.close()


def _client() -> docker.DockerClient | None:
    """Return a client, or None if no engine responds.

    docker-py leaves a refused socket to the garbage collector. It is collected here, so that no later test is blamed
    for it.
    """
    try:
        return docker.from_env(timeout=10)
    except DockerException:
        pass
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    return None


def _have(client: docker.DockerClient, image: str) -> bool:
    try:
        client.images.get(image)
    except DockerException:
        try:
            client.images.pull(image)
        except DockerException:
            return False
    return True
