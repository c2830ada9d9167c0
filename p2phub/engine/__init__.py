"""The activities: one file per verb, trio drivers of the pure floors over the ports."""
