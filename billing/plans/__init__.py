"""Plans: what they offer, who has them, what is paid for each period. docs/plans.md has the rules with examples."""
