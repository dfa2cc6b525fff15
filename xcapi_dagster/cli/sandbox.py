"""`xcapi sandbox`."""

from pathlib import Path

import click

from xcapi_dagster.errors import ConfigurationError
from xcapi_dagster.sandbox import serve
from xcapi_dagster.settings import DEMO, DEMO_OAUTH, VARIABLES


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8181, show_default=True, help="0 takes a free one.")
@click.option("--record", type=click.Path(dir_okay=False, path_type=Path), help="Keep what is received in this file.")
def sandbox(port: int, record: Path | None) -> None:
    """Run an X Ads API on 127.0.0.1 that checks everything X documents and shows what it received."""
    try:
        serve("127.0.0.1", port, record=record, log=click.echo, ready=_tell)
    except OSError as error:
        what = f"--record: {record}" if error.filename else f"--port {port}"
        mend = "" if error.filename else "; choose another, 0 takes a free one"
        raise ConfigurationError(f"{what} cannot be used: {error.strerror}{mend}") from None
    except ValueError as error:
        raise ConfigurationError(f"--record: {error}") from None


def _tell(url: str) -> None:
    """What to set so that a project sends to the sandbox at ``url``."""
    click.echo(f"Answering at {url}; open it to see what was received. To send to it, set:")
    for field in ("account_id", "pixel_id", "event_id", "pixel_token"):
        click.echo(f"  export {VARIABLES[field]}={DEMO[field]}")
    click.echo(f"  export {VARIABLES['api_url']}={url}")
    click.echo("For `xcapi tags`, which a pixel token does not open, set these as well:")
    for field, value in DEMO_OAUTH.items():
        click.echo(f"  export {VARIABLES[field]}={value.get_secret_value()}")
