"""Predict W between the mini-batch sizes that a profile measured."""
