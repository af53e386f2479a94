"""One entry for each thing that a user starts: a run, an audit, a check, a range test."""
