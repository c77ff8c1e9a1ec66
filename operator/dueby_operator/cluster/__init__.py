"""What a cluster offers: free devices, quotas, Kueue queues and nodes that have fallen silent."""
