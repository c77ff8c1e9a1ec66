"""What the study measured, stage by stage, and the answers of its two models."""
