"""What a newcomer sees when everything runs."""

import time
from typing import Any

from devstack import totp
from devstack.environment import Addresses
from devstack.places import Places
from devstack.terminal import Terminal


def show(terminal: Terminal, addresses: Addresses, demo: dict[str, Any], places: Places) -> None:
    """Addresses, the demo admin's login, and a snippet to paste."""
    for label, address in (
        ("Console", addresses.console_url),
        ("API", addresses.api_url),
        ("Mailbox", f"{addresses.mailbox_url}   (mails that Keymeter sends)"),
        ("Stripe", addresses.stripe_url and f"{addresses.stripe_url}   (a local one: 4242 4242 4242 4242 pays)"),
    ):
        if address:
            terminal.line(f"  {label:<9} {address}")
    terminal.line()
    if secret := demo.get("admin_totp_secret"):
        terminal.line(f"  Sign in   {demo['admin_email']}   password {demo['admin_password']}")
        terminal.line(f"            authenticator secret {secret}   code now {totp.code(secret, time.time())}")
        terminal.line()
    key = demo.get("api_key", "$KEY")
    if key == "$KEY":
        terminal.line("  Create a key in the console, then:   KEY=…")
    terminal.line(f"  curl {addresses.api_url}/chat/completions -H 'Content-Type: application/json' \\")
    terminal.line(f'    -H "Authorization: Bearer {key}" \\')
    model = demo.get("model", "demo-chat")
    terminal.line(f'    -d \'{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello"}}]}}\'')
    terminal.line()
    terminal.line(f"  Logs are in {places.log}. Ctrl-C stops everything and keeps the data.")
    terminal.line()
