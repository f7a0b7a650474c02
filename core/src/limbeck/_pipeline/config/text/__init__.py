"""YAML and TOML texts to documents that know their lines."""
