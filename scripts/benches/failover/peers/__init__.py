"""A library each, set up for failover as its documentation has it; and the caller of gateways."""
