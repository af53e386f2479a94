"""A command of the user's own as a trial: its process, what it reports, how it ends."""
