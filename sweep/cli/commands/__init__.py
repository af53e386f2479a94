"""The commands, a file each, named after the command."""
