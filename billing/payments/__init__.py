"""Money that comes in through Stripe, exactly once. docs/payments.md says how.

| module | what it does |
|---|---|
| `currencies` | nano-dollars and a currency's smallest units |
| `billing_details`, `countries` | whom receipts are made out to; told to Stripe |
| `calling` | calls to Stripe: one client, one API version, never within a transaction, and what a failure means |
| `customers` | the organization as Stripe knows it |
| `topping_up` | our row, then the Checkout page |
| `cards` | saved cards, as Stripe tells of them |
| `charging` | our row, then a payment with a saved card |
| `plan_fees` | plan fees by saved card |
| `recharging`, `recharge_choices` | auto-recharge, and what is chosen of it |
| `withdrawing` | closing what could still be paid by another way |
| `intents` | what Stripe says of such a payment |
| `seen` | what Stripe says of a Checkout Session, read once into a typed object |
| `settling` | looks a top-up up and credits it: the return page, webhooks and healing all end here |
| `refunding` | staff ask for a refund: our row and its credit first, then Stripe |
| `refunds` | what has become of a refund, whoever made it: each is posted once |
| `disputes` | what a bank takes back and gives back: each is posted once |
| `payers`, `taking_back` | whose payment it was; what is taken from the balance and given back |
| `seen_back` | what Stripe says of refunds and disputes |
| `finding` | refunds and disputes of which no webhook told |
| `comparing`, `differences` | both sides of a day, what differs, and its repair |
| `webhooks` | signed events |
| `healing` | looks up what nobody told us of |
"""
