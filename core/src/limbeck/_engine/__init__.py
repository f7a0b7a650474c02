"""The engine: requests through a sliding window, with retries, on one background event loop."""
