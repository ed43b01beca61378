"""Contracts between processes: types, limits, names and encodings that both sides of a call share."""
