"""Routes of the systems that Copyist takes the place of, one file each; underneath is the same pipeline."""
