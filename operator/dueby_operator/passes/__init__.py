"""One pass: what is decided is carried out, written and told of, at a pace that leaves the core to others."""
