"""What the operator shows over HTTP: its metrics, and the calendar as a page."""
