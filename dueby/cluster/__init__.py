"""The jobs of a cluster, as kubectl lists them."""
