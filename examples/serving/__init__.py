"""The parts of the stream server that are not its protocol."""
