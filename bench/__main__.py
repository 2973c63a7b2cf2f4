"""`python -m bench [NAME…]`: measure all, or what is named; the table goes to stdout.

All takes half an hour. `full_size` is no part of it: it takes 17 GB of memory, and is measured
only where it is named; so are `shuffled` and `retrain`, which train some hundred models.
"""

import os
import sys

from bench.measure import ONE_THREAD, Row, markdown

# Before torch is loaded, which reads them once: a shared machine gives no second core reliably.
os.environ.update(ONE_THREAD)

from bench import (
    ages,
    answers,
    audio,
    autoencoder,
    catalog,
    clip,
    down_mix,
    frames,
    full_size,
    imports,
    kinds,
    listing,
    modern,
    ocr,
    pictures,
    predict,
    retrain,
    shuffled,
)

MODULES = {
    "ages": ages,
    "answers": answers,
    "catalog": catalog,
    "imports": imports,
    "listing": listing,
    "clip": clip,
    "pictures": pictures,
    "frames": frames,
    "kinds": kinds,
    "autoencoder": autoencoder,
    "audio": audio,
    "down_mix": down_mix,
    "ocr": ocr,
    "modern": modern,
    "predict": predict,
    "shuffled": shuffled,
    "retrain": retrain,
    "full_size": full_size,
}
ON_REQUEST = {"full_size", "retrain", "shuffled"}


def main() -> int:
    """Run the benchmarks one after the other, or those that are named."""
    rows: list[Row] = []
    if unknown := sorted(set(sys.argv[1:]) - MODULES.keys()):
        sys.stderr.write(f"no benchmark {unknown[0]!r}; there are {', '.join(MODULES)}\n")
        return 2
    for name in sys.argv[1:] or [name for name in MODULES if name not in ON_REQUEST]:
        sys.stderr.write(f"{name} …\n")
        rows += MODULES[name].rows()
    sys.stdout.write(markdown(rows) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
