"""The command line: one file a command. Only click is imported before a command runs."""
