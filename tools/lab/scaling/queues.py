"""Queueing theory: M/M/c, and the time to process a backlog."""

from math import factorial, inf, log


def erlang_c(servers: int, offered: float) -> float:
    """Return the share of the arrivals that must wait; `offered` is arrivals per second times seconds of service. It is
    1 if there are too few servers."""
    if offered >= servers:
        return 1.0
    waiting = offered**servers / factorial(servers) * servers / (servers - offered)
    return waiting / (sum(offered**busy / factorial(busy) for busy in range(servers)) + waiting)


def mean_wait(servers: int, utilisation: float, service: float) -> float:
    """Return the mean waiting time in seconds, in M/M/c."""
    if utilisation >= 1:
        return inf
    return erlang_c(servers, servers * utilisation) * service / (servers * (1 - utilisation))


def wait_quantile(servers: int, utilisation: float, service: float, quantile: float) -> float:
    """Return the waiting time in seconds that this share does not exceed."""
    if utilisation >= 1:
        return inf
    must_wait = erlang_c(servers, servers * utilisation)
    if 1 - quantile >= must_wait:
        return 0.0
    return log(must_wait / (1 - quantile)) * service / (servers * (1 - utilisation))


def stay_quantile(utilisation: float, service: float, quantile: float) -> float:
    """Return the waiting and service time in seconds that this share does not exceed, in M/M/1."""
    return inf if utilisation >= 1 else -log(1 - quantile) * service / (1 - utilisation)


def drain_time(outage_s: float, utilisation: float) -> float:
    """Return the seconds until the backlog of an outage is processed while new work arrives."""
    return inf if utilisation >= 1 else outage_s * utilisation / (1 - utilisation)
