"""The engines: one contract, one door (the registry), one file each."""
