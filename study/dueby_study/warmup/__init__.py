"""The warm-up model: how long the first mini-batch of a process takes, and what decides that.

collecting/    measures first mini-batches in fresh processes, with what is known right before each
learning/      which features decide W, and how well it can be predicted
predicting/    W between the sizes that a profile measured
"""
