"""An InferenceJob's Kubernetes objects: names, manifests, and what its pods show."""
