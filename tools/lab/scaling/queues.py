"""What is known of queues without trying: M/M/c, and the time that a backlog takes."""

from math import factorial, inf, log


def erlang_c(servers: int, offered: float) -> float:
    """The part of the arrivals that must wait; `offered` is arrivals a second times seconds of service. 1 when there
    are too few servers."""
    if offered >= servers:
        return 1.0
    waiting = offered**servers / factorial(servers) * servers / (servers - offered)
    return waiting / (sum(offered**busy / factorial(busy) for busy in range(servers)) + waiting)


def mean_wait(servers: int, utilisation: float, service: float) -> float:
    """Seconds until served, in M/M/c."""
    if utilisation >= 1:
        return inf
    return erlang_c(servers, servers * utilisation) * service / (servers * (1 - utilisation))


def wait_quantile(servers: int, utilisation: float, service: float, quantile: float) -> float:
    """Seconds until served that so many wait at most."""
    if utilisation >= 1:
        return inf
    must_wait = erlang_c(servers, servers * utilisation)
    if 1 - quantile >= must_wait:
        return 0.0
    return log(must_wait / (1 - quantile)) * service / (servers * (1 - utilisation))


def stay_quantile(utilisation: float, service: float, quantile: float) -> float:
    """Seconds of waiting and service in M/M/1."""
    return inf if utilisation >= 1 else -log(1 - quantile) * service / (1 - utilisation)


def drain_time(outage_s: float, utilisation: float) -> float:
    """Seconds until what has gathered in an outage is done, with new work coming all the time."""
    return inf if utilisation >= 1 else outage_s * utilisation / (1 - utilisation)
