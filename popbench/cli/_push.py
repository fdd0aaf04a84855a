"""`popbench predictor push`: a trained predictor, on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

import click

from popbench.progress.console import tell


@click.command("push")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("repo_id", metavar="OWNER/NAME")
@click.option("--private", is_flag=True, help="Make a new model private.")
@click.option(
    "--replace",
    is_flag=True,
    help="Push a new version where there is a model already; earlier ones stay under their tags.",
)
@click.option("--tag", metavar="NAME", help="Name of this version.  [default: made of what is in it]")
@click.option(
    "--license", "terms", metavar="ID", help="Licence to say on its page, by the hub's name, such as apache-2.0."
)
def command(folder: Path, repo_id: str, private: bool, replace: bool, tag: str | None, terms: str | None) -> int:
    """Push a trained predictor, FOLDER, to the Hugging Face hub, as a model: its weights and its card.

    Paths of this machine are left out of the card. `hf download` gets it back, and says which version.

    \b
    Example:
      popbench predictor push mmra lab/mmra-microlens --tag v1
    """
    from popbench.publishing.hub import Repository
    from popbench.publishing.hub_predictor import push_predictor

    tell(push_predictor(folder, Repository("model", repo_id, private=private, replace=replace, tag=tag, license=terms)))
    return 0
