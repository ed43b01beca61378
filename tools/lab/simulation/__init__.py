"""Deterministic simulation: the real code in a world whose time, scheduling and faults come from a seed."""
