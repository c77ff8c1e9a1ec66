"""One pass: what is decided is carried out, written and logged, at a pace that leaves the core to others."""
