"""The Kubernetes operator of InferenceJobs and GPUProfiles."""
