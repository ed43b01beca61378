"""Prometheus and Grafana: what their files ask for, and a picture of it under load."""
