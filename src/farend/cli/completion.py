"""`farend completion`."""

from __future__ import annotations

import click


@click.command(
    epilog="""\b
Examples:
  eval "$(farend completion bash)"                             in ~/.bashrc
  eval "$(farend completion zsh)"                              in ~/.zshrc
  farend completion fish > ~/.config/fish/completions/farend.fish
"""
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what a shell needs to complete farend's commands, options and files."""
    from click.shell_completion import get_completion_class

    from farend.cli import main, options

    make = get_completion_class(shell)
    assert make is not None  # one of click's own
    options.say(make(main, {}, "farend", "_FAREND_COMPLETE").source())
