"""What this machine and its cluster can do, one file for each check; checks.py has them in order."""
