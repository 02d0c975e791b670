"""`sftjobs completion SHELL`."""

import click
from click.shell_completion import get_completion_class


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash: sftjobs completion bash > ~/.local/share/bash-completion/completions/sftjobs
    zsh:  sftjobs completion zsh > "${fpath[1]}/_sftjobs"
    fish: sftjobs completion fish > ~/.config/fish/completions/sftjobs.fish
    """
    from sftjobs.cli.main import cli

    kind = get_completion_class(shell)
    assert kind is not None
    print(kind(cli, {}, "sftjobs", "_SFTJOBS_COMPLETE").source())
