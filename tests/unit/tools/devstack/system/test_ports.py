import socket

from tools.devstack.system.ports import free_port, is_free, next_free


def test_a_port_is_handed_out_once() -> None:
    """Servers that are planned together never get the same port, even before any of them listens."""
    ports = [free_port() for _ in range(200)]
    assert len(set(ports)) == len(ports)


def test_a_taken_port_is_passed_over() -> None:
    """If a port is in use, the next free one is a later one."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert not is_free(port)
        assert next_free(port) > port


def test_a_port_taken_on_every_address_is_taken() -> None:
    """A server on 0.0.0.0 also uses the port of the loopback address."""
    with socket.create_server(("0.0.0.0", 0)) as taken:  # noqa: S104
        assert not is_free(taken.getsockname()[1])
