"""The HTTP interface: thin, without engines; it writes rows, stores bytes and sends ids."""
