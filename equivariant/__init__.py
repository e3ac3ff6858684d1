"""The equivariant network."""
