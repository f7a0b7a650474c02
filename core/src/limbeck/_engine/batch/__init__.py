"""Provider batches: requests gathered, submitted together, and waited for."""
