"""What a customer sees of Stripe: plain HTML that works without JavaScript, one style sheet."""
