"""What if: usage of the last days, rated again by a draft's prices, by portions and with nobody waiting."""
