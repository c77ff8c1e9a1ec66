"""What the stages of a study measure, one file for each stage."""
