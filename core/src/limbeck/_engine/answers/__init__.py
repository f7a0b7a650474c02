"""What need not be asked: stored answers, caches, re-runs, and why an answer is found or not."""
