"""The two-pass zoom: gate, region network, crop, and sessions that reuse the prefix."""
