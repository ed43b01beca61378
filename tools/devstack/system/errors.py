"""Errors that keep the one-machine stack from running, each with a message for the terminal.

StackError
├── StartError       a server or service did not start
├── DataDirError     the data folder cannot be used
├── AlreadyRunning   another live stack holds the data folder
└── PortTaken        the requested port is in use
"""


class StackError(Exception):
    """Shown to the user as one message, without a traceback."""


class StartError(StackError):
    pass


class DataDirError(StackError):
    pass


class AlreadyRunning(StackError):
    pass


class PortTaken(StackError):
    pass
