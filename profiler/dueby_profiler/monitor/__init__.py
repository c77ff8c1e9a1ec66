"""Hardware and process metrics sampled while measuring, as Parquet."""
