"""The manifests of `deploy/k8s` without a cluster: built as `kubectl apply -k` builds them, held to the API's schemas.

`python -m tools.lab.kubernetes` (`make manifests`) says what was validated, against what.
"""
