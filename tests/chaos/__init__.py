"""An hour in which everything breaks: a fuzzer of a real cluster, by seed. `python tests/chaos --help` says more."""
