"""HTML pages and their charts, and the calendar that both the command and the operator draw."""
