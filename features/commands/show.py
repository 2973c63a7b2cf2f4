"""The command that shows what the models saw and heard of one video: features show."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from catalog.console import App, emit, json_option, pass_app
from features.commands.plans import store_root

if TYPE_CHECKING:
    from features.contact_sheet import Sheet

SUFFIXES = (".html", ".png")


@click.command("show")
@click.argument("video", metavar="VIDEO")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="A .html or .png file."
)
@json_option
@pass_app
def features_show(app: App, video: str, output: Path | None, as_json: bool) -> None:
    """Show what the models saw and heard of VIDEO: a contact sheet, else a few lines.

    VIDEO is a platform's id, an address, or an id of the catalog.
    """
    from catalog.files import atomic_file
    from catalog.read.lookup import features_of_video, find_video, media_uri
    from catalog.web.pages import render
    from features.contact_sheet import draw_sheet, number_rows, read_sheet
    from features.kinds import KINDS
    from features.settings import AudioConfig
    from features.store import FeatureStore

    if output is not None and output.suffix.lower() not in SUFFIXES:
        raise click.UsageError(f"{output}: a sheet is a file in {' or '.join(SUFFIXES)}")
    with app.catalog_to_read.read() as session:
        found = find_video(session, video)
        known = features_of_video(session, found.video_id)
        uri = media_uri(session, found.video_id)
    kept = app.settings.of(AudioConfig).keep_wav
    sheet = read_sheet(
        known,
        title=f"Video {found.tiktok_id}",
        address=found.url,
        caption=found.caption,
        store=FeatureStore(store_root(app)),
        media=None if uri is None else app.settings.data_folder / uri,
        kept_wav=None if kept is None else kept / f"{found.tiktok_id}.wav",
        kinds=[*KINDS, "visual", "text"],
    )
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(output) as temporary:
            if output.suffix.lower() == ".png":
                draw_sheet(sheet).save(temporary, "PNG")
            else:
                page = render("sheet.html", title=sheet.title, sheet=sheet, rows=number_rows(sheet))
                temporary.write_text(page, "utf-8")
    document = {
        "video_id": found.video_id,
        "tiktok_id": found.tiktok_id,
        "output": output,
        "missing": sheet.missing,
        "features": {
            kind: {"status": feature.status, "error": feature.error_code, "detail": feature.detail}
            for kind, feature in known.items()
        },
    }
    emit(document, as_json=as_json, text=_text(sheet) if output is None else str(output))


def _text(sheet: "Sheet") -> str:
    from features.contact_sheet import number_lines, word_lines

    lines = [sheet.title, sheet.address, sheet.caption]
    for strip in sheet.strips:
        times = ", ".join("-" if shot.at_s is None else f"{shot.at_s:.2f}" for shot in strip.shots)
        lines.append(f"{strip.kind}: seen at {times} s")
    lines += [*word_lines(sheet), *number_lines(sheet), *sheet.missing]
    return "\n".join(filter(None, lines))
