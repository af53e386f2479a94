"""Errors, wording, whole files, the user's own code: what everything else stands on."""
