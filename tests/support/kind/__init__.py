"""A real Kubernetes for the end-to-end tests and tests/chaos, made by kind in containers.

the cluster    kind_cluster (makes it), images (of this code), cluster (as one file of tests sees it), kube_api
jobs in it     model, cluster_job, many_steps, example_jobs, largest_objects
beside them    gpus (that nobody has), autoscaler, lost_nodes, s3_in_cluster, prometheus, cron_nights
what is said   chart (what it renders), audit (what was asked of the API server), forger (what is refused)
"""
