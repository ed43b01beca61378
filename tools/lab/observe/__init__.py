"""The queries of the Prometheus and Grafana files, and a picture of the dashboards under load."""
