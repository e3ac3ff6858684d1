"""Who owns which particle: decomposition, ghosts, migration, parallel files."""
