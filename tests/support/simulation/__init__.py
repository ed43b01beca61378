"""Model servers of the simulation in tests, and what clients do with them and with the real servers."""
