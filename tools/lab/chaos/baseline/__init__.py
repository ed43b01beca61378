"""The plain way, to compare with: one FastAPI process whose `BackgroundTasks` send the mails and fold the analytics."""
