"""A local Stripe for development and tests: the `stripe` library talks to it, and a browser pays on its pages.

It speaks one API version (`version.VERSION`) with one secret key, in Stripe's shapes: customers, payment methods,
Checkout Sessions (payment and setup), PaymentIntents, SetupIntents, charges, balance transactions, refunds, disputes,
events, webhook endpoints and billing portal sessions, with lists, `expand`, metadata and idempotency keys. Only test
cards pay, nothing is random but ids, and no money moves. What it doesn't know it refuses with Stripe's error, rather
than ignore it.

| folder | what lives there |
|---|---|
| `api/` | a request: key, version, parameters, idempotency, lists, expansion, errors |
| `resources/` | what each route does; `table.py` lists them all |
| `objects/` | the whole objects that it answers with |
| `pages/` | Checkout, authentication (3D Secure), the billing portal, the overview |
| `webhooks/` | signing, sending, retrying |

`faults.py` says what can be made to go wrong, `cards.py` which card does what; both are told in docs/local-stripe.md.
"""
