"""What the command and the library print: a console for people, and the tables of plans and profiles."""
