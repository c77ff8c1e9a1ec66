"""What each section of a report says, as plain values for the templates."""
