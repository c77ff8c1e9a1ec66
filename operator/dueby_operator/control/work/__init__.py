"""Which workers a planned job gets and loses: the first plan, and the watch over it."""
