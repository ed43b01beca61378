"""Nothing here starts a server; what fails is logged with a plain traceback."""

from tests.support.logs import plain_tracebacks

plain_tracebacks()
