"""Training frameworks whose runs become trials; each module imports its own framework alone.

In a sweep they hand over the trial's schedule and report its metric. Outside of one they leave
training as it is, unless `sweep.current_trial` was given a schedule.
"""
