"""Loopback servers and other real parts for the tests."""
