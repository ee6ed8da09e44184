"""Records, files, manifests, recipes, tables and locks: what every stage stands on."""
