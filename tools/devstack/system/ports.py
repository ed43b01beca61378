"""Free TCP ports on loopback."""

import random
import socket
import threading

# Below every system's range for outgoing connections: there, a port that a killed server leaves
# for a moment could be taken by any client before the server is back.
_RANGE = range(15_000, 32_000)
_given: set[int] = set()
_lock = threading.Lock()


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen()
        except OSError:
            return False
        return True


def free_port() -> int:
    """A port that nothing listens on, never the same one twice in this process."""
    with _lock:
        for port in (random.choice(_RANGE) for _ in range(len(_RANGE))):
            if port not in _given and is_free(port):
                _given.add(port)
                return port
    raise OSError("no free TCP port on 127.0.0.1")


def reserve(port: int) -> int:
    """Have it given to nobody else in this process."""
    with _lock:
        _given.add(port)
    return port


def next_free(port: int) -> int:
    """The first free port from `port` upwards."""
    return next(candidate for candidate in range(port, 65_536) if candidate not in _given and is_free(candidate))


def accepts(port: int, host: str = "127.0.0.1", timeout: float = 1.0) -> bool:
    try:
        with socket.create_connection((host, port), timeout):
            return True
    except OSError:
        return False
