"""ASE in both directions: calculators, interactions, dynamics, file formats."""
