"""``channels``: connected shops."""

import os
from typing import Annotated

import typer

from rappit_cli.connection import DEFAULT_ROWS, AsJson, Limit, connected
from rappit_cli.output import note_more, print_facts, print_json, print_line, print_table

app = typer.Typer(no_args_is_help=True, help="Connected shops.")


@app.command("list")
def list_channels(*, limit: Limit = DEFAULT_ROWS, as_json: AsJson = False) -> None:
    """List channels."""
    with connected() as api:
        page = api.page("/channels", {}, limit)
    if as_json:
        print_json(page)
        return
    columns = [("provider", "PROVIDER"), ("name", "NAME"), ("status", "STATUS"), ("webhook_url", "WEBHOOK URL")]
    print_table(page["items"], [*columns, ("id", "ID")])
    note_more(page)


@app.command("create")
def create_channel(
    *,
    provider: Annotated[str, typer.Option(help="shopify, woocommerce, standard_webhooks or generic_hmac.")],
    name: Annotated[str, typer.Option(help="How you call the shop.")],
    shop_domain: Annotated[str | None, typer.Option(help="Shopify: my-shop.myshopify.com.")] = None,
    source: Annotated[str | None, typer.Option(help="WooCommerce: the site's address.")] = None,
    as_json: AsJson = False,
) -> None:
    """Connect a shop. What it signs with is taken from RAPPIT_CHANNEL_SECRET, or generated and shown this once."""
    # Not an option: a command line is seen by everybody on the machine and kept in the shell's history.
    secret = os.environ.get("RAPPIT_CHANNEL_SECRET") or None
    given = {"provider": provider, "name": name, "secret": secret, "shop_domain": shop_domain, "source": source}
    with connected() as api:
        channel = api.post("/channels", {key: value for key, value in given.items() if value is not None})
    if as_json:
        print_json(channel)
        return
    names = [("id", "Id"), ("provider", "Provider"), ("name", "Name"), ("webhook_url", "Webhook URL")]
    print_facts(channel, [*names, ("secret", "Secret")])
    if channel.get("secret"):
        print_line("Keep the secret now: it is not shown again.")
