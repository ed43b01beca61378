"""What can keep the one-machine stack from running, each with a message fit for a terminal.

StackError
├── StartError       a server or service did not come up
├── DataDirError     the data folder cannot be used
├── AlreadyRunning   another live stack holds the data folder
└── PortTaken        the port that was asked for is in use
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
