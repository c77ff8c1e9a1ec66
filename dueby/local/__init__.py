"""The backend for one machine: a process where a cluster has a pod."""
