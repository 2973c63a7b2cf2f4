"""View counts as the site gives them: rounded in its JSON, shortened on its pages."""


def round_count(count: int) -> int:
    """The integer in the JSON: exact below 10 000, then to the nearest 100, 100 000, 10^8."""
    for limit, step in ((10_000, 1), (1_000_000, 100), (1_000_000_000, 100_000)):
        if count < limit:
            return (count + step // 2) // step * step
    return (count + 5 * 10**7) // 10**8 * 10**8


def show_count(count: int) -> str:
    """The text on a card: "1635", "25.5K", "2M" – one decimal at most, and no ".0"."""
    count = round_count(count)
    if count < 10_000:
        return str(count)
    suffix, unit = next((s, u) for s, u in (("B", 10**9), ("M", 10**6), ("K", 10**3)) if count >= u)
    whole, tenth = divmod(count * 10 // unit, 10)
    return f"{whole}.{tenth}{suffix}" if tenth else f"{whole}{suffix}"
