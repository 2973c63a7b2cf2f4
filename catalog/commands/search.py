"""The command that looks words up in what is said: search."""

from dataclasses import asdict

import click

from catalog.console import App, emit, json_option, pass_app, table


@click.command()
@click.argument("words", nargs=-1, required=True)
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Videos.")
@json_option
@pass_app
def search(app: App, words: tuple[str, ...], limit: int, as_json: bool) -> None:
    """Find the videos in which all WORDS are said; one in quotation marks may be a phrase.

    A star at the end of a word lets it go on: danc* finds dance and dancing.
    """
    from catalog.search import search as search_transcripts

    with app.catalog_to_read.read() as session:
        found = search_transcripts(session, words, limit=limit)
    rows = [(said.tiktok_id, said.language, said.speech_s, said.snippet) for said in found]
    cut = f"\n(first {limit} videos; more with --limit)" if len(found) == limit else ""
    text = table(["video", "language", "speech s", "said"], rows) + cut
    emit(
        {"words": list(words), "videos": [asdict(said) for said in found]},
        as_json=as_json,
        text=text if found else "said in no video",
    )
