"""All jobs on the same devices: who has which of them from when to when, and who gives way. Pure."""
