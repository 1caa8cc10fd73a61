"""Networks, heads and losses."""
