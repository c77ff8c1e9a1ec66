"""The planner: the least number of GPUs, and what each of them does, as a pure function of profiles and a question."""
