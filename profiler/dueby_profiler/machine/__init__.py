"""What this machine has to measure: cores and GPUs, what limits them, and who else uses them."""
