"""What the command line can do: one frozen dataclass per command, whose fields are its options."""
