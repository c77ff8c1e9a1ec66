"""What reads the features: the machine and its processes, torch's allocator, the status pages, the model's size."""
