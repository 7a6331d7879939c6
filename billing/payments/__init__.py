"""Money that comes in through Stripe, exactly once. docs/payments.md says how.

| module | what it does |
|---|---|
| `currencies` | nano-dollars and a currency's smallest units |
| `calling` | calls to Stripe: one client, one API version, never within a transaction, and what a failure means |
| `customers` | the organization as Stripe knows it |
| `topping_up` | our row, then the Checkout page |
| `cards` | saved cards, as Stripe tells of them |
| `charging` | our row, then a payment with a saved card |
| `intents` | what Stripe says of such a payment |
| `seen` | what Stripe says of a Checkout Session, read once into a typed object |
| `settling` | looks a top-up up and credits it: the return page, webhooks and healing all end here |
| `webhooks` | signed events |
| `healing` | looks up what nobody told us of |
"""
