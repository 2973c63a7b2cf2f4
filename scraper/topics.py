"""The paper's twelve topics (section 2.1), each with the hashtags that stand for it by default."""

DEFAULT_TOPICS: dict[str, tuple[str, ...]] = {
    "Sports": ("sports", "football"),
    "Dance": ("dance", "dancechallenge"),
    "Entertainment": ("entertainment", "movietok"),
    "Comedy and Drama": ("comedy", "drama"),
    "Autos": ("autos", "cars"),
    "Fashion": ("fashion", "ootd"),
    "Lifestyle": ("lifestyle", "dayinmylife"),
    "Pets and Nature": ("pets", "nature", "cutepets"),
    "Relationships": ("relationships", "couplegoals"),
    "Society": ("society",),
    "Informative": ("informative", "howto", "learnsomething"),
    "Music": ("music", "newmusic"),
}
