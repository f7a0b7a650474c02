"""The `limbeck` command. The library is `limbeck`; nothing here is meant to be imported by other code."""
