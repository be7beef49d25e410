"""`predict`: an exported model on files."""

from __future__ import annotations

import sys

import click

from search.cli.options import count_option
from search.cli.paths import LocalPath, RunPath

TTA = {"none": "none", "flip": "horizontal", "vertical": "vertical", "both": "both"}
"""By the option, the flips over which probabilities are averaged."""


@click.command(short_help="Predict images or rows with an exported model.")
@click.argument("export", type=RunPath("an export, such as results/seg/export"))
@click.argument("given", metavar="[INPUT]", required=False, type=LocalPath())
@click.option("--out", required=True, type=LocalPath(), metavar="DIR", help="Folder to write.")
@click.option(
    "--masks", type=LocalPath(), metavar="DIR", help="True masks, named as the images: IoU and index.html."
)
@click.option("--overlay", is_flag=True, help="Write each image with its classes over it.")
@click.option("--probabilities", is_flag=True, help="Write those of all classes, as float16 .npy [H, W, K].")
@click.option(
    "--tta",
    type=click.Choice(list(TTA)),
    help="Average over the mirror image (flip), the one upside down (vertical), or all four (both) "
    "(default: as in validation).",
)
@click.option(
    "--window",
    type=click.IntRange(min=8),
    metavar="PIXELS",
    help="Side of the windows by which images are predicted (default: as in validation).",
)
@count_option("--count", "Samples of a generator (default: 100).")
@click.option("--seed", type=click.IntRange(min=0), metavar="N", help="Of the noise of a generator.")
@count_option("--batch-size", "Images, windows or rows at once (default: as in validation).")
@click.option("--device", metavar="NAME", help="Such as cpu or cuda:1 (default: a GPU if there is one).")
def predict(
    export: str,
    given: str | None,
    out: str,
    masks: str | None,
    overlay: bool,
    probabilities: bool,
    tta: str | None,
    window: int | None,
    count: int | None,
    seed: int | None,
    batch_size: int | None,
    device: str | None,
) -> None:
    """Predict INPUT with the exported model in EXPORT, as the search has validated it.

    INPUT is a folder of images (with folders in it) or an image; for a model of rows a CSV file; a generator
    has none. A segmentation writes a mask for each image, the others predictions.csv. The same command
    continues an interrupted one, but for a CSV file, which is predicted anew. What cannot be read is listed
    at the end, and the exit code is then 1.

    \b
    Examples:
      tune-search predict results/seg/export photos/ --out predicted/
      tune-search predict results/seg/export photos/ --out predicted/ --overlay --masks masks/
      tune-search predict results/seg/export large.tif --out predicted/ --window 512 --tta flip
      tune-search predict results/houses/export new.csv --out predicted/
      tune-search predict results/gan/export --out samples/ --count 100 --seed 1
    """
    from search.screen.progress_bar import ProgressBar

    with ProgressBar(sys.stderr) as bar:
        bar.phase("loading the model")
        from search.predicting.predict import predict as run_predict
        from search.screen.texts.predict import Pace, predicted_text

        pace = Pace()
        found = run_predict(
            export,
            given,
            out=out,
            masks=masks,
            overlay=overlay,
            probabilities=probabilities,
            flips=None if tta is None else TTA[tta],
            window=window,
            count=count,
            seed=seed,
            batch_size=batch_size,
            device=device,
            progress=lambda what, done, of: bar.report(pace.text(what, done, of), done, of),
        )
    click.echo(predicted_text(found))
    if found.failed:
        sys.exit(1)
