"""An example of a policy pack: one grouping policy, one aggregator."""
