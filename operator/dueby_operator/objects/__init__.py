"""Kubernetes objects as far as this operator reads them: typed, with unknown fields ignored.

What the API server sends is parsed into these classes once, where it comes in (gathering/gather.py, kube/reflector.py),
and everything else works with them. Manifests that the operator sends are plain documents (jobs/manifests.py).
"""
