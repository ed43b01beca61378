"""The baseline: one FastAPI process whose `BackgroundTasks` send the mails and update the analytics."""
