"""The words that the whole engine uses: jobs and units, keys, counters, policies, observers, options."""
