"""The policies that decide about a job, in the order in which they are asked: one policy, one file."""
