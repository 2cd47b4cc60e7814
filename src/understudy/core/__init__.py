"""DECIDE: plain functions and small machines. No await, clock, bytes or log; time arrives as `now`."""
