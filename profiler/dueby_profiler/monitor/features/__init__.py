"""What the monitor measures, as data: one entry for each column of its files."""
