"""How each gateway is set up, as its documentation has it for failover, and started."""
