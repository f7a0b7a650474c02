"""A pipeline as data: dicts, YAML and TOML, each mistake told by where it stands."""
