"""The commands of the command line: one frozen dataclass per command, whose fields are its options."""
