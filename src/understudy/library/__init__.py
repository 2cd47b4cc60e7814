"""COMPOSE: the balancer over engine, configuration and observers."""
