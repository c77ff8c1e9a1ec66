"""The study's model: capacities, the acceptance rule, plans, proofs and their exact check."""
