"""TRANSLATE: bytes to values and back. No sockets."""
