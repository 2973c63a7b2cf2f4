"""The commands about topics and their hashtags: topic."""

import click

from catalog.console import App, dry_run_option, emit, json_option, pass_app, table


@click.group()
def topic() -> None:
    """Topics and the hashtags that stand for them."""


@topic.command("add")
@click.argument("name")
@click.argument("hashtags", nargs=-1, required=True)
@json_option
@dry_run_option
@pass_app
def topic_add(app: App, name: str, hashtags: tuple[str, ...], as_json: bool, dry_run: bool) -> None:
    """Store HASHTAGS (without '#') under the topic NAME."""
    from scraper.steps.scrape import add_hashtags

    names = [hashtag.lstrip("#").lower() for hashtag in hashtags]
    n_new = 0 if dry_run else add_hashtags(app.catalog, {name: names})
    emit({"topic": name, "hashtags": names, "n_new": n_new, "dry_run": dry_run}, as_json=as_json)


@topic.command("defaults")
@json_option
@dry_run_option
@pass_app
def topic_defaults(app: App, as_json: bool, dry_run: bool) -> None:
    """Store the paper's twelve topics with a hashtag or more each."""
    from scraper.items import DEFAULT_TOPICS
    from scraper.steps.scrape import add_hashtags

    n_new = 0 if dry_run else add_hashtags(app.catalog, DEFAULT_TOPICS)
    emit({"n_topics": len(DEFAULT_TOPICS), "n_new": n_new, "dry_run": dry_run}, as_json=as_json)


@topic.command("list")
@json_option
@pass_app
def topic_list(app: App, as_json: bool) -> None:
    """List topics, hashtags and when each was last listed."""
    from catalog.read.pending import hashtags_to_list

    with app.catalog.read() as session:
        todo = hashtags_to_list(session, topics=None, hashtags=None, listed_before=None)
    rows = [(", ".join(entry.topics), entry.name) for entry in todo]
    payload = {"hashtags": [{"name": entry.name, "topics": list(entry.topics)} for entry in todo]}
    emit(payload, as_json=as_json, text=table(["topic", "hashtag"], rows))
