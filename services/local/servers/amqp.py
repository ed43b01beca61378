"""Whether an AMQP 0-9-1 server is really there, and not just something that holds the port."""

import socket

_GREETING = b"AMQP\x00\x00\x09\x01"
_METHOD_FRAME = 1


def answers_amqp(port: int, host: str = "127.0.0.1") -> bool:
    try:
        with socket.create_connection((host, port), 1) as connection:
            connection.settimeout(2)
            connection.sendall(_GREETING)
            return connection.recv(1)[:1] == bytes([_METHOD_FRAME])
    except OSError:
        return False
