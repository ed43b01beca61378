"""The manifests of `deploy/k8s` without a cluster: built like `kubectl apply -k`, and validated against API schemas.

`python -m tools.lab.kubernetes` (`make manifests`) prints what was validated, and against what.
"""
