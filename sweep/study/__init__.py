"""What a user asked for: settings, search space, where it lies, what is wrong with it."""
