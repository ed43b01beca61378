"""The parts of the model of Redis: protocol, data, scripts and commands."""
