"""The simulated machine: the event loop with its processes, the network, clocks, and Postgres."""
