"""The Kubernetes API: client, watches, the Lease, reading the snapshot and carrying out writes."""
